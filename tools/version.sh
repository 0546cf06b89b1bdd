#!/usr/bin/env bash
# The version of this tree, as packages sort it: of a tag v1.2.3 it is 1.2.3, of
# v1.2.3-rc1 1.2.3~rc1, of the fourth commit behind a tag 1.2.3+4.gCOMMIT, and without
# tags 0.0.N+gCOMMIT with the count of commits. A changed tree adds .dirty.
set -euo pipefail
if [[ -n ${VERSION:-} ]]; then # a source without its history
  echo "$VERSION"
  exit
fi
dirty=
[[ -z $(git status --porcelain --untracked-files=no) ]] || dirty=.dirty
if tag=$(git describe --tags --match 'v[0-9]*' --long 2>/dev/null); then
  commit=${tag##*-} rest=${tag%-*}
  count=${rest##*-} tag=${rest%-*}
  version=${tag#v}
  version=${version//-/\~}
  ((count == 0)) || version+=+$count.$commit
else
  version=0.0.$(git rev-list --count HEAD)+g$(git rev-parse --short=12 HEAD)
fi
[[ -z $dirty ]] || [[ $version == *+* ]] || dirty=+dirty
echo "$version$dirty"
