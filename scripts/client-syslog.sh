#!/usr/bin/env bash
# client-syslog.sh DIR: puts two senders of syslog into DIR that Debian's packages
# do not install beside each other, or not at all:
#   syslog-ng/  the packages of syslog-ng, which conflicts with rsyslog, unpacked
#   rsyslog/    omhttp.so, built from Debian's source of the rsyslog that is here
# apt's own keys vouch for all that is fetched.
set -euo pipefail
dir=$1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
version=$(dpkg-query -W -f '${Version}' rsyslog)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fetch() { # packages, unpacked into a folder
  local to=$1
  shift
  mkdir -p "$to"
  apt-get download -qq "$@" 2>&1 | grep -v '^W: Download is performed unsandboxed' || true
  local deb
  for deb in *.deb; do dpkg -x "$deb" "$to"; rm "$deb"; done
}

if [[ ! -x $dir/syslog-ng/usr/sbin/syslog-ng ]]; then
  fetch "$work/sng" syslog-ng-core syslog-ng-mod-http libivykis0 libnet1 libwrap0 libjson-c5 libpcre3 libcurl4
  rm -rf "$dir/syslog-ng"
  mv "$work/sng" "$dir/syslog-ng"
fi

if [[ ! -f $dir/rsyslog/omhttp.so || $(cat "$dir/rsyslog/version" 2>/dev/null) != "$version" ]]; then
  # The module's interface is that of the upstream release; updates of Debian
  # leave it alone, and their sources are not on every mirror.
  upstream=${version%%-*}
  # Sources come from where this machine's packages come from.
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    awk 'BEGIN { RS = "" } /debian-archive/ && !/-security/ { sub(/Types: [^\n]*/, "Types: deb-src"); print $0 "\n" }' >src.sources
  { grep -h '^deb .*debian' /etc/apt/sources.list 2>/dev/null || true; } | grep -v -- -security | sed 's/^deb /deb-src /' >src.list || true
  list=src.sources
  if [[ ! -s $list ]]; then list=src.list; fi
  apt=(-qq -o "Dir::Etc::sourcelist=$work/$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists")
  mkdir -p lists/partial
  apt-get update "${apt[@]}"
  apt-get source "${apt[@]}" --download-only rsyslog 2>&1 | grep -v '^W: Download is performed unsandboxed' || true
  tar xf "rsyslog_$upstream.orig.tar.gz"
  fetch "$work/dev" libestr-dev libfastjson-dev libcurl4-openssl-dev libcurl4 zlib1g-dev uuid-dev
  inc=$work/dev/usr/include
  arch=$(gcc -print-multiarch)
  cd "rsyslog-$upstream"
  CPPFLAGS="-I$inc -I$inc/$arch -I$inc/libfastjson" LDFLAGS="-L$work/dev/usr/lib/$arch" \
    LIBESTR_CFLAGS="-I$inc" LIBESTR_LIBS=-lestr LIBFASTJSON_CFLAGS="-I$inc/libfastjson" LIBFASTJSON_LIBS=-lfastjson \
    CURL_CFLAGS="-I$inc/$arch" CURL_LIBS=-lcurl LIBUUID_CFLAGS="-I$inc" LIBUUID_LIBS=-luuid ZLIB_CFLAGS="-I$inc" ZLIB_LIBS=-lz \
    ./configure --prefix=/usr --enable-omhttp --disable-generate-man-pages --disable-libgcrypt --disable-fmhttp \
    --disable-klog --disable-default-tests --disable-liblogging-stdlog --disable-libsystemd >configure.out 2>&1 ||
    { tail -20 configure.out >&2; exit 1; }
  make -C contrib/omhttp omhttp.la >make.out 2>&1 || { tail -20 make.out >&2; exit 1; }
  mkdir -p "$dir/rsyslog"
  cp contrib/omhttp/.libs/omhttp.so "$dir/rsyslog/"
  echo "$version" >"$dir/rsyslog/version"
fi
