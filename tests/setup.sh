#!/usr/bin/env bash
# Installs what the black-box tests need: Debian packages, the stock clients from npm and PyPI. Rust is given.
# Safe to run again: with everything in place it asks nothing, installs nothing and takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")"

# command -> Debian package that has it
needs=(
  "mosquitto mosquitto"
  "mosquitto_pub mosquitto-clients"
  "chromium chromium"
  "openssl openssl"
  "curl curl"
  "nginx nginx"
  "haproxy haproxy"
  "caddy caddy"
  "prometheus prometheus"
  "promtool prometheus"
  "node nodejs"
  "npm npm"
)

die() { echo "tests/setup.sh: $*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

install_packages() {
  local missing=() need command package
  for need in "${needs[@]}"; do
    read -r command package <<<"$need"
    have "$command" || missing+=("$package")
  done
  # Debian's python3 has the venv module but not ensurepip until python3-venv is there.
  python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3 python3-venv)
  [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing+=(libnginx-mod-nchan)
  [ ${#missing[@]} -eq 0 ] && return

  have apt-get || die "please install: ${missing[*]} (this script knows only apt-get)"
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || die "please install as root: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  echo "installing ${missing[*]}"
  # A broker that Debian starts by itself would hold the port that users (and docs) give to the gateway.
  local policy=/usr/sbin/policy-rc.d had_policy=yes
  if [ ! -e "$policy" ] && [ "$(id -u)" -eq 0 ]; then
    had_policy=no
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq || die "apt-get update failed"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install ${missing[*]} failed"
  if [ "$had_policy" = no ]; then
    rm -f "$policy"
    trap - EXIT
  fi
  for need in "${needs[@]}"; do
    read -r command package <<<"$need"
    have "$command" || die "$package is installed, yet there is no command $command"
  done
}

# up_to_date STAMP FILE... : true when STAMP holds the checksum of FILEs
up_to_date() {
  local stamp=$1
  shift
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | sha256sum)" ]
}

install_npm() {
  local stamp=js/node_modules/.stamp
  if up_to_date "$stamp" js/package.json js/package-lock.json; then return; fi
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 18 ] || die "node $major is too old: 18 or newer is needed"
  echo "installing the npm clients"
  (cd js && npm ci --no-audit --no-fund --loglevel=error) || die "npm ci failed in tests/js"
  cat js/package.json js/package-lock.json | sha256sum >"$stamp"
}

# A Pusher server that is not ours. Without a lock file: it would name optional packages of this machine alone.
install_soketi() {
  local stamp=soketi/node_modules/.stamp
  if up_to_date "$stamp" soketi/package.json; then return; fi
  echo "installing soketi"
  (cd soketi && npm install --no-package-lock --no-audit --no-fund --loglevel=error) || die "npm install failed in tests/soketi"
  cat soketi/package.json | sha256sum >"$stamp"
}

install_pip() {
  local stamp=.deps/venv/.stamp
  if up_to_date "$stamp" requirements.txt; then return; fi
  echo "installing the Python clients"
  rm -rf .deps/venv
  python3 -m venv .deps/venv || die "python3 -m venv failed (Debian: apt-get install python3-venv)"
  .deps/venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt || die "pip install failed"
  cat requirements.txt | sha256sum >"$stamp"
}

mkdir -p .deps
install_packages
install_npm
install_soketi
install_pip
