#!/bin/sh
# Installs the locked packages, then the project itself, into one interpreter. `make` and both images use it, so that what
# the images install is what every test runs on.
#
#   install.sh PYTHON packages [PIP OPTION]...   what requirements.lock names; options are for torch alone
#   install.sh PYTHON project                    the project, editable, and a check that all versions fit together
set -eu
python=$1
step=$2
shift 2
cd "$(dirname "$0")/../.."

pip() {
  "$python" -m pip "$@"
}

case $step in
packages)
  # torch first: a package that depends on it would otherwise pull the build of the default index, gigabytes of it.
  pip install --quiet --disable-pip-version-check "$@" "$(grep '^torch==' requirements.lock)"
  # DeepSpeed's kernels are built when they are needed, or by Dockerfile.cuda; here there may be no compiler for them.
  DS_BUILD_OPS=0 pip install --quiet --disable-pip-version-check -r requirements.lock
  ;;
project)
  pip install --quiet --disable-pip-version-check --no-deps --editable .
  pip check
  ;;
*)
  echo "install.sh: no step '$step'; there are: packages, project" >&2
  exit 2
  ;;
esac
