#!/bin/sh
# Writes both administrations' keys, settings and secrets into the folder given, once. What two partners would do by hand and
# by telephone (docs/operators-first-hour.md) is done here for both at once: a trial, not a model for keeping keys.
set -eu
umask 077
exchange=$1
sources=$(cd "$(dirname "$0")" && pwd)
[ ! -e "$exchange/prepared" ] || exit 0

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

unit_names() {
    case $1 in
        tj) echo customs panji-poyon ;;
        af) echo customs sher-khan-bandar ;;
    esac
}

for country in tj af; do
    place=$exchange/$country
    mkdir -p "$place/secrets" "$place/trust/tj/crls" "$place/trust/af/crls" "$place/var"
    panj pki init "$country" --pki "$place/pki"
    panj pki issue --pki "$place/pki" --server broker --san "broker-$country"
    for unit in $(unit_names "$country"); do
        panj pki issue --pki "$place/pki" --unit "$unit"
        [ "$unit" = customs ] || mkdir -p "$place/var/$unit/declarations"
    done
    cp "$sources/$country.toml" "$place/exchange.toml"
    secret >"$place/secrets/management"
    secret >"$place/secrets/postgres"
    echo "postgres-$country:5432:*:panj:$(cat "$place/secrets/postgres")" >"$place/secrets/pgpass"
    sed -e "s|@PLACE@|$place|" -e "s|@PASSWORD@|$(cat "$place/secrets/management")|" "$sources/rabbitmq.conf.in" >"$place/rabbitmq.conf"
    echo '[rabbitmq_management,rabbitmq_federation,rabbitmq_federation_management,rabbitmq_auth_mechanism_ssl].' >"$place/enabled_plugins"
done

befriend() {
    ours=$exchange/$1 theirs=$exchange/$2
    panj pki request --pki "$ours/pki" --link "$2"
    panj pki issue "$ours/pki/link-to-$2.csr" --pki "$theirs/pki" --link "$1" --out "$ours/pki/link-to-$2.pem"
    for country in "$1" "$2"; do
        cp "$exchange/$country/pki/ca.pem" "$ours/trust/$country/ca.pem"
        cp "$exchange/$country/pki/crls/$country.crl" "$ours/trust/$country/crls/"
    done
}
befriend tj af
befriend af tj

touch "$exchange/prepared"
