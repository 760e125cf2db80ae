#!/usr/bin/env bash
# From nothing to a level: PyPI's ChimeraX in a fresh environment, the bundle's wheel built and installed into it,
# 'hetero install' with this checkout as its source, 'hetero level'. No other engine is looked at.
#
#   benchmarks/chimerax_recipe.sh FOLDER MAP.mrc       (FOLDER: empty or new; takes 2 to 8 GB and some minutes)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
map=$(realpath "$2")
tests=$here/tests/chimerax_bundle
python3.11 -m venv "$folder/chimerax"
python=$folder/chimerax/bin/python
"$python" -m pip install -q -r "$tests/requirements.txt"
"$python" -m pip install -q --no-deps "ChimeraX==0.1.71"
rm -f "$folder"/chimerax/lib/python3.11/site-packages/chimerax/__init__.py
cp -r "$here/chimerax_bundle" "$folder/bundle" # BundleBuilder leaves its scraps beside the source
"$python" -m pip wheel -q --no-build-isolation --no-deps -w "$folder/dist" "$folder/bundle"
"$python" -m pip install -q --no-deps "$folder"/dist/*.whl
ls -l "$folder/dist"
env -u HETERO_PYTHON PATH=/usr/bin:/bin "$python" - "$tests" "$folder/engine" "$here" "$map" <<'P'
import sys, time

tests, engine, source, path = sys.argv[1:]
sys.path.insert(0, tests)
import headless

session = headless.start()
from chimerax.core.commands import run

for words in (f'hetero install "{engine}" source "{source}"', "hetero engine", f'open "{path}"', "hetero level #1"):
    start = time.perf_counter()
    answer = run(session, words)
    session.ui.process()
    session.update_loop.draw_new_frame()
    print(f"   ({time.perf_counter() - start:.1f} s)", flush=True)
strange = {"torch", "hetero", "pandas", "mrcfile"} & set(sys.modules)
print(f"level {answer[0]:.4g}; of the engine's libraries in ChimeraX's process: {', '.join(strange) or 'none'}")
session.triggers.activate_trigger("app quit", None)
P
