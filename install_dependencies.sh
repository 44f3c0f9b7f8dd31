#!/usr/bin/env bash
# Sets up all that TorchML needs on a Debian or Ubuntu machine and installs TorchML itself:
# system packages, KIM-API, a Python environment with torch, the KIM model driver and the
# Python package. It asks no questions and keeps what is already there, so it can run again at any
# time.
# shellcheck disable=SC2317 # `need` calls some functions by their names
set -Eeuo pipefail
trap 'die "stopped unexpectedly at line $LINENO; please report this."' ERR

readonly torch_version=2.13.0
readonly system_packages=(
    cmake ninja-build g++ make pkg-config git curl ca-certificates xz-utils xxd
    libkim-api-dev openkim-models lammps openmpi-bin libopenmpi-dev libgtest-dev python3-venv python3-dev
)
# What KLIFF's graph trainer imports. KLIFF's own pins (numpy<2, ase<3.23) are older than what it
# runs with, so it is installed without its dependencies and these are installed beside it.
readonly kliff_requirements=(
    loguru monty requests pyyaml scipy pytorch_lightning torch_geometric tensorboard
)

# What reading a model of MACE imports; MACE itself asks for more, and for whatever torch is newest.
readonly mace_requirements=(e3nn==0.4.4 matscipy torch-ema prettytable orjson pandas tqdm)
readonly mace_version=0.3.16

# Packages whose models are imported, in an environment of their own: e3nn of another version than
# MACE's. fairchem-core asks for packages of GPUs too, so it is installed without dependencies.
readonly importer_requirements=(
    sevenn==0.13.0 nequip==0.19.1 nequip-allegro==0.8.3 chgnet==0.4.2 matgl==4.1.0 torchani==2.9.0
    dftd3==1.7.0 tad-dftd3==0.7.0 ase==3.29.0 torchtnt==0.2.4 submitit backoff wandb 'setuptools<81'
)
readonly fairchem_version=2.24.0
# The only wheel of torchani that carries weights, those of ANI-1x; the package is not installed.
readonly ani_weights=torchani==2.2.4

usage() {
    cat <<'EOF'
Usage: ./install_dependencies.sh [OPTIONS]

Installs everything TorchML needs, builds the KIM model driver and the Python package, and writes
env.sh: `. ./env.sh` makes all of it available in a shell.

  --prefix DIR             where everything goes, outside this repository
                           (default: $XDG_DATA_HOME/torchml, else ~/.local/share/torchml)
  --python EXE             Python 3.11 or newer to build the environment on (default: python3)
  --cuda                   torch with CUDA instead of the CPU build
  --with-pyg-ops           also torch-scatter and torch-sparse, built from source (20 minutes)
  --with-tests             all that the tests use: the four options below
  --with-kliff             also KLIFF and what its graph trainer needs
  --with-mace              also MACE, to export its models
  --with-importers         also the other packages whose models can be imported, in an environment of
                           their own, DIR/peers
  --with-browser           also Chromium, in which the tests open HTML reports
  --no-system-packages     install no system packages; say what is missing instead
  --kim-api-source SOURCE  build KIM-API from this archive (a path or URL of a .tar.gz or .tar.xz)
                           into DIR instead of using the system's
  --lammps-source SOURCE   build LAMMPS with its KIM package from this archive into DIR (half an hour
                           of a core)
  --jobs N                 compile N files at a time (default: number of cores); the largest of
                           ours take 1.1 GB of memory each
  --help                   this text

A torch >= 2.10 that the active Python can import is used as it is.
EOF
}

# --- Talking -----------------------------------------------------------------------------------

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

say() { printf -- '-- %5s  %s\n' "$(clock $SECONDS)" "$*"; }

warn() { printf 'install_dependencies.sh: warning: %s\n' "$*" >&2; }

die() {
    printf 'install_dependencies.sh: %s\n' "$*" >&2
    exit 1
}

# attempt COMMAND...: run it with its output in the log, and show how far it is
attempt() {
    local status=0 watcher
    printf '\n$ %s\n' "$*" >>"$log"
    watch_log &
    watcher=$!
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    [[ ! -t 1 ]] || printf '\r\e[K'
    return "$status"
}

# watch_log: while this script runs, show the last line of the log: every second in a line that
# changes, or a line every 30 seconds where the output is no terminal
watch_log() {
    local due=$((SECONDS + 30))
    trap - ERR EXIT
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        if [[ -t 1 ]]; then
            printf '\r   %5s  %.70s\e[K' "$(clock $SECONDS)" "$(current_step)"
        elif ((SECONDS >= due)); then
            due=$((SECONDS + 30))
            printf '   %5s  %.100s\n' "$(clock $SECONDS)" "$(current_step)"
        fi
    done
}

# The last line of the log that is no warning; of a build's "[3/58] Building CXX object FOLDER/potential.cpp.o" only
# "[3/58] potential.cpp.o"
current_step() {
    tail -n 20 "$log" | sed -nE 's/^ *(\[ *[0-9]+(\/[0-9]+|%)\]) (Building|Linking) .*[ \/]([^ \/]+)$/\1 \4/
        s/^[[:space:]]+//; /^WARNING/d; /./p' | tail -n 1
}

# need SENTENCE COMMAND...: like attempt, but a failure shows the end of the log and stops
need() {
    local sentence=$1 begin
    shift
    begin=$(($(wc -l <"$log") + 3))
    attempt "$@" && return
    tail -n "+$begin" "$log" | tail -n 20 | sed 's/^/   | /' >&2
    die "$sentence (the whole output is in $log)."
}

# timed PART COMMAND...: run it, and remember its time for the table at the end
parts=()
timed() {
    local begin=$SECONDS part=$1
    shift
    "$@"
    parts+=("$(printf '  %-26s %6s' "$part" "$(clock $((SECONDS - begin)))")")
}

# --- Options -----------------------------------------------------------------------------------

parse_options() {
    prefix=${XDG_DATA_HOME:-$HOME/.local/share}/torchml
    python=
    kim_source=
    lammps_source=
    jobs=$(nproc)
    cuda=false pyg_ops=false kliff=false mace=false importers=false browser=false may_install=true
    while (($#)); do
        case $1 in
            --prefix | --python | --kim-api-source | --lammps-source | --jobs)
                [[ -n ${2:-} ]] || die "$1 needs a value; see --help."
                ;;&
            --prefix) prefix=$2 && shift ;;
            --python) python=$2 && shift ;;
            --kim-api-source) kim_source=$2 && shift ;;
            --lammps-source) lammps_source=$2 && shift ;;
            --jobs) jobs=$2 && shift ;;
            --cuda) cuda=true ;;
            --with-pyg-ops) pyg_ops=true ;;
            --with-tests) kliff=true mace=true importers=true browser=true ;;
            --with-kliff) kliff=true ;;
            --with-mace) mace=true ;;
            --with-importers) importers=true ;;
            --with-browser) browser=true ;;
            --no-system-packages) may_install=false ;;
            --help | -h) usage && exit ;;
            *) die "unknown option '$1'; see --help." ;;
        esac
        shift
    done
    [[ $jobs =~ ^[1-9][0-9]*$ ]] || die "--jobs expects a positive number, not '$jobs'."
    find_source KIM-API kim_source
    find_source LAMMPS lammps_source
}

# find_source PROJECT VARIABLE: make the path of an archive absolute; URLs and nothing stay
find_source() {
    local -n source=$2
    [[ -n $source && $source != *://* ]] || return 0
    source=$(realpath -m -- "$source")
    [[ -f $source ]] || die "the $1 archive '$source' does not exist; give a .tar.gz or .tar.xz."
}

# kim-api-collections-management copies the whole repository when it installs the driver from it,
# and KIM's tools and Python's launchers cannot handle white space in paths.
prepare_prefix() {
    repository=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
    prefix=$(realpath -m -- "$prefix")
    [[ $prefix/ != "$repository"/* ]] ||
        die "the prefix '$prefix' lies inside the repository; choose a folder outside it."
    [[ $prefix =~ ^[[:alnum:]_./+@,=~-]+$ ]] ||
        die "the prefix '$prefix' has a character that KIM-API's tools cannot handle; choose one \
without white space, quotes and colons."
    if ! mkdir -p -- "$prefix/stamps" "$prefix/build" 2>/dev/null || [[ ! -w $prefix ]]; then
        die "cannot write to '$prefix'; choose another folder with --prefix."
    fi
    venv=$prefix/venv
    log=$prefix/install.log
    : >"$log"
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/torchml-setup.XXXXXX")
    trap 'rm -rf -- "$scratch"' EXIT
    # Without this, setuptools compiles kimpy's 23 extensions one after another.
    parallel=$scratch/setuptools.cfg
    printf '[build_ext]\nparallel = %s\n' "$jobs" >"$parallel"
    # The log is for people: no progress bars, and no advice on pip.
    export PIP_PROGRESS_BAR=off PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    # Python must not import, and KIM must not log into, whatever folder we were called from.
    cd -- "$scratch"
}

# --- Stamps: what was installed from which sources -----------------------------------------------

stamp_is() { [[ -f $prefix/stamps/$1 && $(<"$prefix/stamps/$1") == "$2" ]]; }

set_stamp() {
    printf '%s\n' "$2" >"$prefix/stamps/$1.new"
    mv -- "$prefix/stamps/$1.new" "$prefix/stamps/$1"
}

# digest PATH...: one hash over the files of the repository at or below these paths
digest() {
    local path paths=()
    for path; do
        [[ ! -e $repository/$path ]] || paths+=("$path")
    done
    (
        cd -- "$repository"
        find "${paths[@]}" -type f ! -name '*.py[co]' ! -path '*.egg-info/*' -print0 |
            sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
    )
}

# --- System packages ---------------------------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [[ $(id -u) == 0 ]]; then env "$@"; else sudo -n env "$@"; fi
}

can_be_root() { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }

apt_get() {
    as_root DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
}

install_system_packages() {
    local package missing=()
    if ! $may_install; then
        say "system packages: left alone"
        return
    fi
    if ! has apt-get || ! has dpkg-query; then
        say "system packages: left alone (this is neither Debian nor Ubuntu)"
        return
    fi
    for package in "${system_packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        say "system packages: all there"
        return
    fi
    if ! can_be_root; then
        say "system packages: left alone (not root, and sudo asks for a password)"
        return
    fi
    say "system packages: installing ${missing[*]}"
    need "apt-get could not update its package lists; check the network, or use \
--no-system-packages" apt_get update
    need "apt-get could not install ${missing[*]}; install them by hand, or use \
--no-system-packages" apt_get install -y --no-install-recommends "${missing[@]}"
}

# The tests look for these names, too. Some distributions have no such package; all else goes on.
install_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if has "$name"; then
            say "Chromium: kept, $(command -v "$name")"
            return
        fi
    done
    if $may_install && has apt-get && can_be_root; then
        say "Chromium: installing it"
        attempt apt_get update &&
            attempt apt_get install -y --no-install-recommends chromium && return
    fi
    warn "Chromium is missing (package chromium): tests of HTML reports fail."
}

find_python() {
    local candidate candidates=(python3 python3.14 python3.13 python3.12 python3.11)
    [[ -z $python ]] || candidates=("$python")
    for candidate in "${candidates[@]}"; do
        if has "$candidate" && "$candidate" -c '
import sys, sysconfig, venv, ensurepip, os
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 11) or not os.path.exists(header))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

find_fortran() {
    local candidate
    for candidate in ${FC:-} gfortran gfortran-{20..9} flang; do
        if has "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

cmake_is_recent() {
    local version
    has cmake || return 1
    version=$(cmake --version | sed -n 's/^cmake version //p')
    [[ $(printf '%s\n' 3.20 "$version" | sort -V | head -n 1) == 3.20 ]]
}

kim_is_there() { pkg-config --atleast-version=2.2 libkim-api 2>/dev/null; }

check_tools() {
    local missing=() cc cxx
    read -ra cc <<<"${CC:-cc}" # CC="ccache gcc" are two words
    read -ra cxx <<<"${CXX:-c++}"
    has "${cc[0]}" || missing+=("the C compiler '${cc[0]}' (package gcc)")
    has "${cxx[0]}" || missing+=("the C++ compiler '${cxx[0]}' (package g++)")
    has make || missing+=("make (package make)")
    has pkg-config || missing+=("pkg-config (package pkg-config)")
    has curl || has wget || missing+=("curl or wget, which KIM-API's tools ask for (package curl)")
    base_python=$(find_python) ||
        missing+=("Python 3.11 or newer with venv and headers as '${python:-python3}' \
(packages python3-venv and python3-dev, or --python EXE)")
    use_own_kim
    if [[ -n $kim_source ]]; then
        fortran=$(find_fortran) ||
            missing+=("a Fortran compiler to build KIM-API with (package gfortran)")
    else
        kim_is_there || missing+=("KIM-API 2.2 or newer (package libkim-api-dev, or its source \
archive from https://openkim.org/kim-api with --kim-api-source)")
    fi
    if ((${#missing[@]})); then
        printf 'Missing:\n' >&2
        printf '  * %s\n' "${missing[@]}" >&2
        die "install what is missing, then run this again."
    fi
    has mpirun || warn "mpirun is missing (package openmpi-bin): no runs on several ranks."
    has lmp || has_own_lammps || warn "LAMMPS (lmp) is missing (package lammps, or its source archive with \
--lammps-source): 'make demo' and 'make test' need it."
    has xxd || warn "xxd is missing (package xxd): installing KIM models will be slow."
    say "tools: found"
}

# --- Python and torch ----------------------------------------------------------------------------

# torch_of PYTHON: sets torch_found, torch_cuda and torch_root; fails if no torch >= 2.10 imports
torch_of() {
    local facts
    facts=$("$1" -c '
import os, torch
if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
    raise SystemExit(1)
print(torch.__version__, torch.version.cuda or "none", os.path.dirname(torch.__file__), sep="\n")
' 2>/dev/null) || return 1
    { read -r torch_found && read -r torch_cuda && read -r torch_root; } <<<"$facts"
}

usable_torch_of() { torch_of "$1" && { ! $cuda || [[ $torch_cuda != none ]]; }; }

in_venv() { PATH="$venv/bin:$PATH" "$venv/bin/python" "$@"; }

site_packages() { in_venv -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

has_modules() {
    in_venv -c '
import sys
from importlib.util import find_spec
sys.exit(not all(find_spec(name) for name in sys.argv[1:]))' "$@"
}

make_environment() {
    if "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        say "Python environment: kept, $("$venv/bin/python" --version)"
        return
    fi
    [[ $base_python != "$venv"/* ]] ||
        die "the Python environment '$venv' is broken; deactivate and remove it, then run this again."
    local options=(--clear)
    if usable_torch_of "$base_python"; then
        options+=(--system-site-packages)
    fi
    say "Python environment: creating it with $("$base_python" --version)"
    need "the Python environment '$venv' could not be created; give another Python with --python" \
        "$base_python" -m venv "${options[@]}" "$venv"
    # Where the active Python is itself an environment, the new one sees its base but not it.
    if [[ " ${options[*]} " == *" --system-site-packages "* ]] && ! torch_of "$venv/bin/python"; then
        torch_of "$base_python"
        dirname -- "$torch_root" >"$(site_packages)/torchml-active-python.pth"
    fi
}

pip_install() { in_venv -m pip install "$@"; }

install_torch() {
    if usable_torch_of "$venv/bin/python"; then
        say "torch: kept, $torch_found in $torch_root"
    elif $cuda; then
        install_cuda_torch
    else
        install_cpu_torch
    fi
    torch_of "$venv/bin/python" ||
        die "the installed torch cannot be imported; try '$venv/bin/python -c \"import torch\"'."
    ! $cuda || [[ $torch_cuda != none ]] ||
        die "--cuda was asked for, but torch $torch_found has no CUDA; install one that has in \
another Python and give that with --python and a new --prefix."
    # Nothing that is installed later may replace this torch.
    in_venv -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' \
        >"$prefix/constraints.txt"
}

# The CPU build has a version of its own, which PyPI does not carry: what pip is configured with
# comes first, then PyTorch's index, then whatever build PyPI has.
install_cpu_torch() {
    local index=https://download.pytorch.org/whl/cpu
    say "torch: installing the CPU build of $torch_version"
    attempt pip_install "torch==$torch_version+cpu" && return
    attempt pip_install --retries 1 --timeout 30 --extra-index-url "$index" \
        "torch==$torch_version+cpu" && return
    say "torch: no CPU build at $index, taking what PyPI has"
    need "torch $torch_version could not be installed; check the network, or give a Python that \
has torch with --python" pip_install "torch==$torch_version"
}

install_cuda_torch() {
    say "torch: installing $torch_version with CUDA"
    attempt in_venv -m pip uninstall -y torch || true
    need "torch $torch_version with CUDA could not be installed; check the network, or give a \
Python that has it with --python" pip_install "torch==$torch_version,!=$torch_version+cpu"
}

# --- KIM-API -----------------------------------------------------------------------------------

# A KIM-API that an earlier run built into the prefix is the one to use.
use_own_kim() {
    kim_root=
    if [[ -f $prefix/kim-api/lib/pkgconfig/libkim-api.pc ]] &&
        { [[ -z $kim_source ]] || stamp_is kim-api "$(source_id "$kim_source")"; }; then
        kim_root=$prefix/kim-api
        kim_source=
        export PKG_CONFIG_PATH="$kim_root/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
    fi
}

source_id() {
    if [[ -f $1 ]]; then sha256sum <"$1"; else printf '%s' "$1"; fi
}

install_kim_api() {
    if [[ -n $kim_source ]]; then
        build_kim_api
    fi
    kim_is_there || die "the KIM-API of '$kim_root' is older than 2.2; give a newer archive."
    kim_version=$(pkg-config --modversion libkim-api)
    say "KIM-API: $kim_version in ${kim_root:-the system}"
}

build_kim_api() {
    local archive=$kim_source source=$scratch/kim-api build=$scratch/kim-api-build id
    id=$(source_id "$archive")
    unpack_source KIM-API "$archive" "$source" CMakeLists.txt
    say "KIM-API: building it from $kim_source"
    need "KIM-API could not be configured; try its newest release" \
        in_path cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_INSTALL_PREFIX="$prefix/kim-api" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_Fortran_COMPILER="$fortran" -DKIM_API_BUILD_EXAMPLES=OFF
    need "KIM-API could not be built; try its newest release" \
        in_path cmake --build "$build" --parallel "$jobs"
    rm -rf -- "$prefix/kim-api"
    need "KIM-API could not be installed into $prefix/kim-api; check the space there" \
        in_path cmake --install "$build"
    set_stamp kim-api "$id"
    use_own_kim
}

# unpack_source PROJECT SOURCE FOLDER FILE: a source archive, downloaded if it is a URL; its FILE
# tells that it is the right one
unpack_source() {
    local archive=$2
    if [[ $2 == *://* ]]; then
        say "$1: downloading $2"
        archive=$scratch/archive
        need "$1 could not be downloaded from $2; give the path of an archive" \
            download "$2" "$archive"
    fi
    mkdir -p -- "$3"
    need "'$2' is not an archive that tar can read; give a .tar.gz or .tar.xz" \
        tar -xf "$archive" -C "$3" --strip-components=1
    [[ -f $3/$4 ]] || die "'$2' holds no $4; give the source archive of $1."
}

download() {
    if has curl; then
        curl --fail --silent --show-error --location --retry 2 --output "$2" "$1"
    else
        wget --no-verbose --output-document="$2" "$1"
    fi
}

in_path() { PATH="$venv/bin:$PATH" "$@"; }

# --- LAMMPS --------------------------------------------------------------------------------------

has_own_lammps() { [[ -n $lammps_source || -x $prefix/lammps/bin/lmp ]]; }

# With the packages that simulations with any potential use, beside KIM. What later calls of this
# script build does not change it.
install_lammps() {
    local source=$scratch/lammps build=$scratch/lammps-build package options=() id
    id="$(source_id "$lammps_source") $kim_version $kim_root"
    if stamp_is lammps "$id" && [[ -x $prefix/lammps/bin/lmp ]]; then
        say "LAMMPS: kept, built from $lammps_source"
        return
    fi
    unpack_source LAMMPS "$lammps_source" "$source" cmake/CMakeLists.txt
    for package in KIM EXTRA-COMPUTE EXTRA-DUMP EXTRA-FIX KSPACE MANYBODY MC MISC MOLECULE REPLICA RIGID; do
        options+=("-DPKG_$package=on")
    done
    if ! has mpicxx; then
        options+=(-DBUILD_MPI=off)
        warn "mpicxx is missing (package libopenmpi-dev): LAMMPS will have no MPI."
    fi
    say "LAMMPS: building it from $lammps_source"
    need "LAMMPS could not be configured; try its newest release" \
        in_path cmake -S "$source/cmake" -B "$build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_INSTALL_PREFIX="$prefix/lammps" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_PREFIX_PATH="$kim_root" -DDOWNLOAD_KIM=off "${options[@]}"
    need "LAMMPS could not be built; try its newest release" \
        in_path cmake --build "$build" --parallel "$jobs"
    rm -rf -- "$prefix/lammps"
    need "LAMMPS could not be installed into $prefix/lammps; check the space there" \
        in_path cmake --install "$build"
    set_stamp lammps "$id"
}

# --- Python packages -----------------------------------------------------------------------------

install_build_requirements() {
    local requirements=('scikit-build-core>=0.10' 'pybind11>=2.12' ninja setuptools wheel)
    cmake_is_recent || requirements+=('cmake>=3.20,<4')
    if stamp_is build-requirements "${requirements[*]}"; then
        say "build requirements: kept"
        return
    fi
    say "build requirements: installing ${requirements[*]}"
    need "the Python build requirements could not be installed; check the network and pip's \
configuration" pip_install "${requirements[@]}"
    set_stamp build-requirements "${requirements[*]}"
}

# install_operators PROJECT: a PyTorch Geometric operator library, built against this very torch.
# The wheel is kept apart from pip's own cache, which does not know which torch it was built for.
# --as-needed leaves out libtorch_python, so that C++ programs can load the operators too.
install_operators() {
    local project=$1 module=${1//-/_} tag wheels
    if has_modules "$module"; then
        say "$project: kept"
        return
    fi
    tag=$(in_venv -c 'import sys; print(sys.implementation.cache_tag)')
    wheels=${XDG_CACHE_HOME:-$HOME/.cache}/torchml/$tag-torch-$torch_found
    say "$project: building it from source (minutes)"
    mkdir -p -- "$wheels"
    if ! compgen -G "$wheels/$module-*.whl" >/dev/null; then
        need "$project could not be built for torch $torch_found; leave it out" \
            env LDFLAGS="-Wl,--as-needed ${LDFLAGS:-}" MAX_JOBS="$jobs" PATH="$venv/bin:$PATH" \
            "$venv/bin/python" -m pip wheel --no-deps --no-build-isolation --no-cache-dir \
            --wheel-dir "$wheels" "$project"
    fi
    need "$project could not be installed; remove $wheels and try again" \
        pip_install --no-deps --no-index --find-links "$wheels" "$project"
}

install_kliff() {
    if has_modules kliff torch_geometric pytorch_lightning tensorboard; then
        say "KLIFF: kept"
    else
        say "KLIFF: installing it and what its graph trainer needs"
        need "KLIFF's requirements could not be installed; check the network, or leave out \
--with-kliff" pip_install -c "$prefix/constraints.txt" "${kliff_requirements[@]}"
        need "KLIFF could not be installed; check the network, or leave out --with-kliff" \
            pip_install --no-deps kliff
    fi
    install_operators torch-scatter
}

install_mace() {
    if has_modules mace e3nn matscipy torch_ema prettytable orjson pandas tqdm; then
        say "MACE: kept"
        return
    fi
    say "MACE: installing it and what its models need"
    need "MACE's requirements could not be installed; check the network, or leave out \
--with-mace" pip_install -c "$prefix/constraints.txt" "${mace_requirements[@]}"
    need "MACE could not be installed; check the network, or leave out --with-mace" \
        pip_install --no-deps "mace-torch==$mace_version"
}

# The environment of the other packages has the same torch, through links, with its libraries of CUDA
# (gigabytes that pip would download once more), and none of the rest.
install_importers() {
    local peers=$prefix/peers site links id="${importer_requirements[*]} $torch_found $torch_root"
    if stamp_is importers "$id"; then
        say "importers: kept"
        return
    fi
    say "importers: installing ${importer_requirements[*]%%==*}"
    need "the environment '$peers' could not be created" \
        "$base_python" -m venv --clear "$peers"
    site=$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    links=$peers/torch
    mkdir -p -- "$links" "$peers/weights"
    find "$(dirname -- "$torch_root")" -maxdepth 1 -regextype posix-extended \
        -regex '.*/(torch|torchgen|functorch|torch-.*\.dist-info|(nvidia|cuda|triton).*)' \
        -exec ln -s -t "$links" -- {} +
    printf '%s\n' "$links" >"$site/torch.pth"
    need "the packages of the importers could not be installed; check the network, or leave out \
--with-importers" "$peers/bin/python" -m pip install -c "$prefix/constraints.txt" \
        "${importer_requirements[@]}"
    need "fairchem-core could not be installed; check the network, or leave out --with-importers" \
        "$peers/bin/python" -m pip install --no-deps "fairchem-core==$fairchem_version"
    need "the weights of ANI-1x could not be downloaded; check the network, or leave out \
--with-importers" "$peers/bin/python" -m pip download --no-deps --dest "$scratch" "$ani_weights"
    "$peers/bin/python" -m zipfile -e "$scratch"/torchani-*.whl "$peers/weights"
    set_stamp importers "$id"
}

# One compilation serves the package, the driver and the test programs. With
# TORCHML_WARNINGS_AS_ERRORS=ON a warning of the compiler stops it.
install_package() {
    local site checked=${TORCHML_WARNINGS_AS_ERRORS:-OFF}
    package_stamp="$(digest CMakeLists.txt cmake common descriptor driver python pyproject.toml) \
$torch_found $(env | sed -nE '/^Torch(Scatter|Sparse)_ROOT=/p' | sort |
        tr '\n' ' ')"
    site=$(site_packages)
    if [[ -d $site/torchml/driver/engine ]] && { stamp_is package "$package_stamp ON" ||
        stamp_is package "$package_stamp $checked"; }; then
        say "torchml package: kept"
        return
    fi
    say "torchml package: building and installing it"
    need "the torchml package could not be built" \
        env TORCH_ROOT="$torch_root" CMAKE_BUILD_PARALLEL_LEVEL="$jobs" PATH="$venv/bin:$PATH" \
        DIST_EXTRA_CONFIG="$parallel" "$venv/bin/python" -m pip install --verbose --no-build-isolation \
        -c "$prefix/constraints.txt" \
        --config-settings "build-dir=$prefix/build/python-torch-$torch_found" \
        --config-settings "cmake.define.TORCHML_WARNINGS_AS_ERRORS=$checked" "${repository}[test]"
    set_stamp package "$package_stamp $checked"
}

# pip keeps the kimpy that it built, and does not know for which KIM-API that was: one of another
# version reads the files of models otherwise.
match_kimpy() {
    local library wanted
    wanted=$(realpath -- "$(pkg-config --variable=libdir libkim-api)")
    library=$(in_venv -c '
import kimpy
lines = open("/proc/self/maps").read().split()
print(next(word for word in lines if "/libkim-api.so" in word))' 2>/dev/null) || library=
    [[ $(dirname -- "$(realpath -- "${library:-/none/}")") != "$wanted" ]] || return 0
    say "kimpy: building it for the KIM-API in $wanted"
    DIST_EXTRA_CONFIG=$parallel need "kimpy could not be built for the KIM-API in $wanted" \
        pip_install --no-cache-dir --force-reinstall --no-deps --no-binary kimpy \
        -c "$prefix/constraints.txt" 'kimpy>=2.1'
}

# --- The KIM model driver ------------------------------------------------------------------------

# From the package, into a collection of its own, without a change to the user's other collections.
install_driver() {
    local collection=$prefix/kim/model-drivers stamp
    stamp="$package_stamp $kim_version $kim_root \
$(env | sed -nE '/^KIM_MODEL_(DIS[A-Z]+_GRAPH|DRIVER_ID|MPI_AWARE)=/p' | sort | tr '\n' ' ')"
    mkdir -p -- "$prefix"/kim/{model-drivers,portable-models,simulator-models}
    if stamp_is driver "$stamp" && driver=$(<"$prefix/stamps/driver-id") &&
        [[ -d $collection/$driver ]]; then
        say "KIM model driver: kept, $driver"
        return
    fi
    say "KIM model driver: building and installing it"
    need "the KIM model driver could not be built and installed into $collection" \
        env TORCH_ROOT="$torch_root" KIM_API_MODEL_DRIVERS_DIR="$collection" \
        CMAKE_PREFIX_PATH="$kim_root${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}" \
        PATH="$venv/bin:$PATH" "$venv/bin/python" -m torchml.kim install-driver \
        --collection environment --force --jobs "$jobs"
    driver=$(sed -n 's|^installed .*/||p' "$log" | tail -n 1)
    set_stamp driver-id "$driver"
    set_stamp driver "$stamp"
}

# --- env.sh and the end --------------------------------------------------------------------------

write_environment() {
    {
        cat <<'EOF'
# Makes TorchML available in this shell; written by install_dependencies.sh.
# For sh, bash and zsh. What KIM and the search paths held before is kept, after ours.

_torchml_prepend() { # NAME DIR: put DIR first in the colon separated list NAME
    eval "_torchml_list=:\${$1:-}:"
    case $_torchml_list in
        *":$2:"*) _torchml_list=${_torchml_list%%":$2:"*}:${_torchml_list#*":$2:"} ;;
    esac
    _torchml_list=${_torchml_list#:}
    _torchml_list=${_torchml_list%:}
    eval "export $1=\"\$2\${_torchml_list:+:\$_torchml_list}\""
}

EOF
        printf '. %s\n' "$venv/bin/activate"
        printf 'export TORCH_ROOT=%q\n' "$torch_root"
        if $importers || [[ -f $prefix/stamps/importers ]]; then
            printf 'export TORCHML_PEERS=%q\n' "$prefix/peers"
        fi
        printf '_torchml_prepend %s\n' \
            "KIM_API_MODEL_DRIVERS_DIR $prefix/kim/model-drivers" \
            "KIM_API_PORTABLE_MODELS_DIR $prefix/kim/portable-models" \
            "KIM_API_SIMULATOR_MODELS_DIR $prefix/kim/simulator-models"
        if [[ -n $kim_root ]]; then
            printf '_torchml_prepend %s\n' \
                "PATH $kim_root/bin" "LD_LIBRARY_PATH $kim_root/lib" \
                "PKG_CONFIG_PATH $kim_root/lib/pkgconfig" "CMAKE_PREFIX_PATH $kim_root"
            printf 'export KIM_API_CMAKE_PREFIX_DIR=%s\n' "$kim_root"
        fi
        if has_own_lammps; then
            printf '_torchml_prepend %s\n' "PATH $prefix/lammps/bin"
        fi
        printf 'unset -f _torchml_prepend\nunset _torchml_list\n'
    } >"$prefix/env.sh.new"
    mv -- "$prefix/env.sh.new" "$prefix/env.sh"
    if printf '. %s\n' "$prefix/env.sh" 2>/dev/null >"$repository/env.sh.new"; then
        mv -- "$repository/env.sh.new" "$repository/env.sh"
    else
        warn "cannot write $repository/env.sh; use $prefix/env.sh."
    fi
}

summarize() {
    local lammps mpi cuda_text=CPU
    lammps=$(lmp -h 2>/dev/null | sed -n 's/^Large-scale[^-]*Simulator - //p') || true
    mpi=$(mpirun --version 2>/dev/null | sed -n 1p) || true
    [[ $torch_cuda == none ]] || cuda_text="CUDA $torch_cuda"
    printf '\nTime of each part (minutes:seconds)\n'
    printf '%s\n' "${parts[@]}" "$(printf '  %-26s %6s' total "$(clock $SECONDS)")"
    cat <<EOF

TorchML is ready.
  KIM-API   $kim_version (${kim_root:-system})
  driver    $driver
  torch     $torch_found ($cuda_text)
  Python    $("$venv/bin/python" -c 'import platform; print(platform.python_version())')
  LAMMPS    ${lammps:-none}
  MPI       ${mpi:-none}

Use it in a shell with:  . $prefix/env.sh
EOF
}

main() {
    parse_options "$@"
    prepare_prefix
    timed "system packages" install_system_packages
    if $browser; then
        timed "Chromium" install_browser
    fi
    check_tools
    timed "Python environment" make_environment
    timed "torch" install_torch
    timed "build requirements" install_build_requirements
    timed "KIM-API" install_kim_api
    write_environment
    # shellcheck source=/dev/null
    . "$prefix/env.sh"
    if [[ -n $lammps_source ]]; then
        timed "LAMMPS" install_lammps
    fi
    timed "torchml package" install_package
    timed "kimpy" match_kimpy
    timed "KIM model driver" install_driver
    if $pyg_ops; then
        timed "torch-scatter" install_operators torch-scatter
        timed "torch-sparse" install_operators torch-sparse
    fi
    if $kliff; then
        timed "KLIFF" install_kliff
    fi
    if $mace; then
        timed "MACE" install_mace
    fi
    if $importers; then
        timed "importers" install_importers
    fi
    summarize
    exit # before bash reads on, as the file may have changed meanwhile
}

main "$@"
