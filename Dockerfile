# The gateway in one image; the role is chosen by the command. Holds no key and no setting.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/gateway
COPY requirements/run.txt requirements/run.txt
RUN /opt/gateway/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/run.txt
COPY gateway gateway
COPY adapters adapters
COPY pyproject.toml ./
RUN /opt/gateway/bin/python -c "import compileall; compileall.compile_dir('gateway', quiet=1); compileall.compile_dir('adapters', quiet=1)"

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /opt/gateway /opt/gateway
COPY --from=build /build/gateway /app/gateway
COPY --from=build /build/adapters /app/adapters
COPY schemas /app/schemas
COPY policies /app/policies
COPY partners /app/partners
COPY docs/problems.md /app/docs/problems.md
RUN printf '#!/opt/gateway/bin/python\nfrom gateway.cli.main import app\n\napp()\n' >/usr/local/bin/gateway && chmod 755 /usr/local/bin/gateway
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER gateway
ENTRYPOINT ["gateway"]
CMD ["--help"]
