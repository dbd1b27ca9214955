#!/bin/bash
# Formats the data folder once, with the first principal in it, and starts the broker.
set -euo pipefail
umask 077

kafka=${KAFKA_HOME:-/opt/kafka}
secrets=${SECRETS_DIRECTORY:-/run/secrets}
settings=${SETTINGS_DIRECTORY:-/etc/gateway}
properties=$(mktemp)
password=$(cat "$secrets/kafka_admin.password")
{
    cat "$settings/server.properties"
    echo "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required" \
        "username=\"admin\" password=\"$password\";"
} >"$properties"

"$kafka/bin/kafka-storage.sh" format --ignore-formatted --cluster-id "$KAFKA_CLUSTER_ID" --config "$properties" \
    --add-scram "SCRAM-SHA-512=[name=admin,password=$password]"
exec "$kafka/bin/kafka-server-start.sh" "$properties"
