# make demo    set up an environment and run the main job end to end
# make test    set up both environments and run every test
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The release that the tests ran with; setup.cfg allows later ones.
TORCH ?= torch==2.13.0

ENGINE := .venv
CHIMERAX := .venv-chimerax
ENGINE_READY := $(ENGINE)/.ready
CHIMERAX_READY := $(CHIMERAX)/.ready
BUNDLE := $(shell find chimerax_bundle -type f -not -path '*/build/*' -not -path '*/dist/*' -not -path '*egg-info*' 2>/dev/null)
WHEEL := dist/chimerax_hetero-*.whl
PIP := -m pip --disable-pip-version-check install -q

export PYTHON

.PHONY: demo test test-engine test-chimerax test-slow lint bundle pictures clean

demo: $(ENGINE_READY)
	$(ENGINE)/bin/hetero demo demo
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	  echo "opening napari ..."; $(ENGINE)/bin/python -m napari_hetero demo/maps demo/blocks; \
	else \
	  xvfb-run -a -s "-screen 0 1600x1200x24" $(ENGINE)/bin/python -m napari_hetero demo/maps demo/blocks --picture demo/napari.png \
	  && echo "no display here; what napari would show: demo/napari.png"; \
	fi

test: test-engine test-chimerax

test-engine: lint
	NAPARI_STRICT_QT=1 $(ENGINE)/bin/python -m pytest --ignore=tests/chimerax_bundle -m "not slow"

# Real ChimeraX with numpy 1.26; the engine runs in the other environment. The engine's own tests run here too, on that
# numpy and without torch.
test-chimerax: $(ENGINE_READY) $(CHIMERAX_READY)
	HETERO_PYTHON=$(abspath $(ENGINE))/bin/python $(CHIMERAX)/bin/python -m pytest -p no:xvfb tests/chimerax_bundle -m "not slow"
	PYTHONPATH=$(abspath engine) $(CHIMERAX)/bin/python -m pytest tests/engine -m "not slow"

test-slow: $(ENGINE_READY)
	$(ENGINE)/bin/python -m pytest -m slow

lint: $(ENGINE_READY)
	$(ENGINE)/bin/python -m ruff check .
	$(ENGINE)/bin/python -m ruff format --check .

$(ENGINE_READY): setup.cfg .ci/system-libraries
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; make PYTHON=/path/to/python")'
	.ci/system-libraries python napari
	$(PYTHON) -m venv $(ENGINE)
	@echo "installing the engine and napari into $(ENGINE) (a few minutes, about 2 GB) ..."
	$(ENGINE)/bin/python $(PIP) $(TORCH)
	$(ENGINE)/bin/python $(PIP) -e ".[napari,test]"
	touch $@

# PyPI's ChimeraX wheel lacks what makes it a namespace package; tests/chimerax_bundle/headless.py supplies the rest.
$(CHIMERAX_READY): $(ENGINE_READY) tests/chimerax_bundle/requirements.txt $(BUNDLE)
	.ci/system-libraries python napari chimerax
	$(PYTHON) -m venv $(CHIMERAX)
	@echo "installing ChimeraX into $(CHIMERAX) (a minute, about 1 GB) ..."
	$(CHIMERAX)/bin/python $(PIP) -r tests/chimerax_bundle/requirements.txt
	$(CHIMERAX)/bin/python $(PIP) --no-deps "ChimeraX==0.1.71"
	rm -f $(CHIMERAX)/lib/python3.*/site-packages/chimerax/__init__.py
	$(MAKE) bundle
	$(CHIMERAX)/bin/python $(PIP) --no-deps --force-reinstall $(WHEEL)
	$(ENGINE)/bin/python -c "import importlib.metadata as m; print(*(r for r in m.requires('hetero-em') \
	  if 'extra' not in r and not r.startswith('torch')), sep='\n')" > $(CHIMERAX)/engine.txt
	$(CHIMERAX)/bin/python $(PIP) -r $(CHIMERAX)/engine.txt -c tests/chimerax_bundle/requirements.txt
	touch $@

# The wheel for `toolshed install`. Built from a copy: BundleBuilder leaves its scraps beside the source.
bundle:
	test -d $(CHIMERAX) || $(MAKE) $(CHIMERAX_READY)
	rm -rf $(CHIMERAX)/bundle $(WHEEL)
	cp -r chimerax_bundle $(CHIMERAX)/bundle
	$(CHIMERAX)/bin/python -m pip wheel -q --no-build-isolation --no-deps -w dist $(CHIMERAX)/bundle
	rm -rf $(CHIMERAX)/bundle

# The pictures of README.md, by real ChimeraX and real napari, on a real ribosome volume and masks of its chains.
SHARED ?= ../shared
pictures: $(ENGINE_READY) $(CHIMERAX_READY)
	PATH=$(abspath $(ENGINE))/bin:$$PATH HETERO_PYTHON=$(abspath $(ENGINE))/bin/python \
	  docs/make_pictures $(SHARED) $(CHIMERAX)/bin/python

clean:
	rm -rf $(ENGINE) $(CHIMERAX) build dist demo *.egg-info
