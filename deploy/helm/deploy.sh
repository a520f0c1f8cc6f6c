#!/bin/sh
# Install or upgrade riskml in one cluster, with the images that were just tested and pushed.
#
#   IMAGES       name of the images before -score, -serve, -stream, -report
#   HELM_VALUES  YAML with the values of this environment
#   KUBE_CONFIG  contents of a kubeconfig (a secret)
#   NAMESPACE    riskml unless given
#
# ./digests/TARGET holds the digest of each image. An upgrade that does not become ready is undone.
set -eu
: "${IMAGES:?}" "${KUBE_CONFIG:?}"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 077
printf '%s' "$KUBE_CONFIG" >"$folder/kubeconfig"
printf '%s' "${HELM_VALUES:-}" >"$folder/values.yaml"
export KUBECONFIG="$folder/kubeconfig"

score=$(cat digests/score) serve=$(cat digests/serve) stream=$(cat digests/stream)
report=$(cat digests/report)
helm upgrade --install riskml "$(dirname "$0")/riskml" \
    --namespace "${NAMESPACE:-riskml}" --values "$folder/values.yaml" \
    --set-string "image.repository=$IMAGES" \
    --set-string "image.digests.score=$score" \
    --set-string "image.digests.serve=$serve" \
    --set-string "image.digests.stream=$stream" \
    --set-string "image.digests.report=$report" \
    --atomic --timeout 15m
helm test riskml --namespace "${NAMESPACE:-riskml}"
