#!/usr/bin/env bash
# Starts Envoy with the origins of SCRIP_CORS_ORIGINS in its configuration, for Envoy expands no variables.
#
# SCRIP_CORS_ORIGINS: the origins whose pages may call, with commas between them, such as
# https://desk.example,http://localhost:*; a port may be *. Empty: none. `make up` does the same in stack/envoy.py.
set -euo pipefail

readonly committed=${1:-/etc/envoy/envoy.yaml}
readonly config=${TMPDIR:-/tmp}/envoy.yaml
readonly place='allow_origin_string_match: []'
readonly origin_form='^https?://[a-z0-9.-]+(:([0-9]+|\*))?$'

allowed=
IFS=', ' read -r -a origins <<<"${SCRIP_CORS_ORIGINS:-}"
for origin in "${origins[@]}"; do
  if ! [[ $origin =~ $origin_form ]]; then
    printf 'SCRIP_CORS_ORIGINS: %s is not an origin, such as https://desk.example\n' "$origin" >&2
    exit 1
  fi
  pattern=${origin//./'\.'}
  if [[ $pattern == *':*' ]]; then
    pattern=${pattern%'*'}'[0-9]+'
  fi
  allowed+="${allowed:+, }{safe_regex: {regex: '$pattern'}}"
done

text=$(<"$committed")
if [[ $text != *"$place"* ]]; then
  printf '%s has no place for origins\n' "$committed" >&2
  exit 1
fi
printf '%s\n' "${text/"$place"/"allow_origin_string_match: [$allowed]"}" >"$config"
exec envoy -c "$config"
