// Opens tokens and makes tokens with npm `jose`. Reads one job as JSON from standard input, writes one answer to standard output.
import { readFileSync } from "node:fs";
import { CompactEncrypt, SignJWT, compactDecrypt, importJWK, jwtVerify } from "jose";

const job = JSON.parse(readFileSync(0, "utf8"));
const TYP = "secevent+jwt";

async function open({ raw, encrypted, alg }) {
  let token = Buffer.from(raw, "base64");
  if (encrypted) {
    const key = await importJWK(job.decrypt, "ECDH-ES");
    const opened = await compactDecrypt(token, key, {
      keyManagementAlgorithms: ["ECDH-ES"],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    token = opened.plaintext;
  }
  const key = await importJWK(job.verify[alg], alg);
  const { payload, protectedHeader } = await jwtVerify(token, key, { algorithms: [alg], typ: TYP });
  return { claims: payload, header: protectedHeader };
}

async function make({ alg, kid, claims, encrypted }) {
  const signer = await importJWK(job.sign[alg], alg);
  const jws = await new SignJWT(claims).setProtectedHeader({ alg, kid, typ: TYP }).sign(signer);
  if (!encrypted) return jws;
  const recipient = await importJWK(job.encrypt, "ECDH-ES");
  return new CompactEncrypt(Buffer.from(jws))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", cty: "JWT", kid: job.encrypt.kid })
    .encrypt(recipient);
}

const answer = { opened: {}, made: {} };
for (const token of job.open) {
  try {
    answer.opened[token.name] = { ok: true, ...(await open(token)) };
  } catch (error) {
    answer.opened[token.name] = { ok: false, error: error.code ?? error.name };
  }
}
for (const wanted of job.make) answer.made[wanted.name] = await make(wanted);
process.stdout.write(JSON.stringify(answer));
