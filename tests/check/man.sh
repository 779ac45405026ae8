#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# man.sh: mandoc finds nothing to say about the manual pages.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v mandoc >/dev/null; then
    echo "mandoc is not installed; ./bootstrap --ci installs it"
    exit 77
fi
mandoc -T lint -W warning man/*.[1-8]
echo "$(ls man/*.[1-8] | wc -l) manual pages are clean"
