#!/usr/bin/env bash
# Makes what docker-compose.yml hands to the containers as secrets: an authority, a certificate for the server, a token.
#   server/make_secrets.sh [NAME_OR_IP …]     further names under which robots reach the server
# into the folder HANDOVER_SECRETS (./secrets). Nothing there is overwritten: remove the folder to start again.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${HANDOVER_SECRETS:-./secrets}
[ -e "$folder" ] && { echo "$folder exists already: remove it to make new secrets" >&2; exit 1; }

names="DNS:localhost,DNS:server,IP:127.0.0.1"
for name in "$@"; do
  if [[ $name =~ ^[0-9.]+$|: ]]; then names+=",IP:$name"; else names+=",DNS:$name"; fi
done

umask 077
half=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$half"' EXIT
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
(
  cd "$half"
  openssl req -x509 -days 3650 -subj "/CN=handover authority" -addext keyUsage=critical,keyCertSign \
    "${key[@]}" -keyout ca.key -out ca.pem
  openssl req -subj "/CN=handover server" "${key[@]}" -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
    -extfile <(echo "subjectAltName=$names") -out server.pem
  rm server.csr
) 2>/dev/null
openssl rand -base64 32 >"$half/token"

# The containers' user (10001) reads them as a member of their group; nobody else does.
group=$(id -g)
[ "$group" = 0 ] && group=10001
chgrp "$group" "$half" "$half"/{ca.pem,server.pem,server.key,token}
chmod 750 "$half"
chmod 640 "$half"/{ca.pem,server.pem,server.key,token}
mv "$half" "$folder"
# docker compose reads .env by itself
[ "$folder" != ./secrets ] || grep -qs '^HANDOVER_SECRETS_GROUP=' .env \
  || (umask 022 && echo "HANDOVER_SECRETS_GROUP=$group" >>.env)
echo "$folder holds the server's secrets; robots need its ca.pem and token"
