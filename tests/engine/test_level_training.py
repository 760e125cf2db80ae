"""Training the level network: losses, examples, labels that people chose, and the verb."""

import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from hetero.commands import train_level  # noqa: E402
from hetero.errors import Cancelled, HeteroError  # noqa: E402
from hetero.level import LevelMethod, predict_level, training  # noqa: E402
from hetero.level.correction import FEATURES  # noqa: E402
from hetero.level.evaluate import KnownLevel, simulated_levels  # noqa: E402
from hetero.level.examples import labelled_examples, simulate_examples, split_structures  # noqa: E402
from hetero.level.labels import LabelledMap, header_level, read_emdb_folder, read_labels  # noqa: E402
from hetero.level.networks import CorrectionNetwork, LevelNetwork, PublishedLevelNetwork, load_network  # noqa: E402
from hetero.level.plan import TrainingPlan  # noqa: E402
from hetero.level.predict import PACKAGED_WEIGHTS, network_levels  # noqa: E402
from hetero.level.simulate import simulate_map  # noqa: E402
from hetero.maps import Structure, Volume, write_map  # noqa: E402

_RATIOS = np.linspace(-0.5, 0.5, 101)


def test_soft_count_loss_is_the_papers():
    values, predicted, true = torch.tensor([[-0.9, 0.1, 0.5]]), torch.tensor([-0.5]), torch.tensor([0.2])
    terms = [(1 / (1 + np.exp(-10 * (v + 0.5))) - 1 / (1 + np.exp(-10 * (v - 0.2)))) ** 2 for v in (-0.9, 0.1, 0.5)]
    assert float(training.soft_count_loss(values, predicted, true)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_differentiable_level_follows_the_envelope():
    values = torch.rand(1, 4000, generator=torch.Generator().manual_seed(0))
    inside = (values > 0.6).float().requires_grad_()
    level = training.agreeing_level(values, inside)
    assert level.item() == pytest.approx(0.6, abs=0.02)
    level.sum().backward()
    assert inside.grad.abs().sum() > 0


def test_relatives_stay_on_one_side(globule):
    structures = [globule(i, 1500 + 700 * (i // 2), radius=25 + 5 * (i // 2)) for i in range(10)]
    trained, held_out = split_structures(structures, 0.2, seed=1)
    assert len(trained) + len(held_out) == 10
    families = [{int(s.name.split()[1]) // 2 for s in side} for side in (trained, held_out)]
    assert not families[0] & families[1]


def test_small_training_learns_and_its_weights_come_back(tmp_path, globule):
    plan = TrainingPlan(maps=16, epochs=4, batch=4, max_box=32)
    examples = simulate_examples([globule(1), globule(2)], plan)
    losses = []
    network = training.train_network(examples, plan, report=lambda epoch, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]
    path = tmp_path / "mine.pt"
    training.save_network(path, network, {"seed": 0})
    for name, value in load_network(path).state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    before = [value.clone() for value in network.state_dict().values()]
    more = training.train_network(examples, TrainingPlan(maps=16, epochs=1, batch=4), start=network)
    assert not torch.equal(more.envelope.head.weight, network.envelope.head.weight)
    assert all(map(torch.equal, before, network.state_dict().values()))
    with pytest.raises(HeteroError, match="fewer than one batch"):
        training.train_network(examples, TrainingPlan(batch=17))


def test_a_correction_is_learned_where_fits_are_wrong_alike_and_else_left_out(globule):
    """Levels whose true ones enclose 30 % more; and levels that are right, of which nothing can be learned."""
    network = load_network(PACKAGED_WEIGHTS)
    network.correction = CorrectionNetwork()
    structures = [globule(i, 900 + 100 * i) for i in range(10)]
    known = list(simulated_levels(structures, 50, "correction", 0, 32))
    fits = [answer.fit for _, answer in network_levels([one.volume for one in known], network)]

    def with_levels(log_ratio):
        pairs = zip(known, fits, strict=True)
        return [KnownLevel(one.volume, float(fit.other(log_ratio)), one.molecule) for one, fit in pairs]

    assert training.train_correction(network, with_levels(0.0), seed=0) == 0
    assert not network.correction(torch.randn(5, FEATURES)).any()
    wrong = with_levels(np.log(1.3))
    assert training.train_correction(network, wrong, seed=0) == 0.7
    corrected = [answer for _, answer in network_levels([one.volume for one in known], network)]
    shift = [np.interp(answer.level, fit.other(_RATIOS)[::-1], _RATIOS[::-1]) for answer, fit in
             zip(corrected, fits, strict=True)]  # fmt: skip
    assert np.median(shift) == pytest.approx(0.7 * np.log(1.3), abs=0.08)
    unlike = network.correction.centre + 50 * network.correction.width
    assert not network.correction(unlike[None]).any()
    assert training.train_correction(network, wrong[:8], seed=0) == 0  # too few molecules to judge by


def test_any_number_of_processes_simulates_the_same_maps(globule):
    structures = [globule(1, 900), globule(2, 900)]
    one, two = (simulate_examples(structures, TrainingPlan(maps=12, max_box=32, processes=n)) for n in (1, 2))
    for first, second in zip(vars(one).values(), vars(two).values(), strict=True):
        assert torch.equal(first, second)
    one, two = (list(simulated_levels(structures, 12, "held out", 0, 32, processes)) for processes in (1, 2))
    for first, second in zip(one, two, strict=True):
        assert np.array_equal(first.volume.data, second.volume.data)
        assert (first.level, first.molecule) == (second.level, second.molecule)


def test_train_level_command(tmp_path, globule):
    folder = tmp_path / "structures"
    folder.mkdir()
    for i in range(4):
        _write_pdb(folder / f"s{i}.pdb", globule(i, 900 + 500 * i, radius=22 + 5 * i))
    settings = train_level.Settings(folder, out=tmp_path / "w.pt", maps=8, epochs=1, held_out_maps=3, correction_maps=4,
                                    max_box=32)  # fmt: skip
    result = train_level.run(settings)
    assert set(result["held_out"]) < {"s0", "s1", "s2", "s3"}
    assert "held-out" in train_level.describe(result)
    assert isinstance(load_network(tmp_path / "w.pt"), LevelNetwork)

    more = train_level.Settings(
        folder, out=tmp_path / "v.pt", start=str(tmp_path / "w.pt"), maps=8, epochs=1, held_out_maps=0,
        correction_maps=0, max_box=32, precision="bfloat16",
    )  # fmt: skip
    train_level.run(more)
    metadata = [torch.load(tmp_path / name, weights_only=True)["metadata"] for name in ("w.pt", "v.pt")]
    assert metadata[0]["start"] is None
    assert metadata[1]["start"] == hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()

    again = train_level.Settings(folder, out=tmp_path / "u.pt", start=str(tmp_path / "v.pt"), epochs=0, held_out_maps=0,
                                 correction_maps=4, max_box=32)  # fmt: skip
    assert train_level.run(again)["losses"] == []
    states = [load_network(tmp_path / name).envelope.state_dict().values() for name in ("v.pt", "u.pt")]
    assert all(map(torch.equal, *states))
    with pytest.raises(HeteroError, match="Epochs must be at least 1; 0 is for networks of ours given with --from"):
        train_level.run(train_level.Settings(folder, out=tmp_path / "x.pt", epochs=0))

    def stop(done, total, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        train_level.run(train_level.Settings(folder, out=tmp_path / "x.pt", maps=8), stop)
    with pytest.raises(HeteroError, match="Nothing to train on"):
        train_level.run(train_level.Settings(out=tmp_path / "x.pt"))
    with pytest.raises(HeteroError, match="not a folder"):
        train_level.run(train_level.Settings(tmp_path / "gone", out=tmp_path / "x.pt"))
    with pytest.raises(HeteroError, match="holds 0 structures"):
        train_level.run(train_level.Settings(tmp_path, out=tmp_path / "x.pt"))
    assert not (tmp_path / "x.pt").exists()


def _write_pdb(path, structure: Structure) -> None:
    lines = [
        f"ATOM  {i + 1:5d}  CA  ALA {chain}{i % 9999 + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, ((z, y, x), chain) in enumerate(zip(structure.positions, structure.chains, strict=True))
    ]
    path.write_text("\n".join([*lines, "END", ""]))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, globule):
    """Three maps whose owner likes a lower level than the one that agrees best with the atoms; a table of them."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["map,level"]
    for i in range(3):
        made = simulate_map(globule(i), np.random.default_rng(40 + i), max_box=48)
        write_map(folder / f"m{i}.mrc", Volume(made.data, made.apix))
        rows.append(f"m{i}.mrc,{0.5 * made.level}")
    (folder / "my.csv").write_text("\n".join(rows) + "\n")
    return folder / "my.csv"


def test_fine_tuning_on_ones_own_labels_moves_levels_towards_them(labelled, tmp_path):
    out = tmp_path / "mine.pt"
    settings = train_level.Settings(out=out, labels=labelled, start="packaged", epochs=10, held_out_maps=0)
    result = train_level.run(settings)
    assert result["labelled"] == 3
    assert "3 labelled maps" in train_level.describe(result)
    one = read_labels(labelled)[0]
    volume = one.read()
    before, after = predict_level(volume).level, predict_level(volume, LevelMethod(weights=out)).level
    assert abs(np.log(after / one.level)) < 0.7 * abs(np.log(before / one.level))
    statistics = [load_network(path).envelope.stem[1].running_mean for path in (out, PACKAGED_WEIGHTS)]
    assert torch.equal(*statistics)


def test_labelled_maps_are_framed_with_what_their_level_encloses(labelled):
    examples = labelled_examples(read_labels(labelled), TrainingPlan())
    assert len(examples.fine) == 24  # eight views of each
    assert 0 < examples.fine_envelopes.float().mean() < 0.5
    assert examples.fine_envelopes.max() <= 1.001


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,level\na,1\n", "has the columns name, level; map and level were expected"),
        ("map,level\n", "holds no row"),
        ("map,level\nm0.mrc,high\n", "line 2: the level is 'high'"),
        ("map,level\nm0.mrc,1\nother.mrc,2\n", "line 3: there is no map"),
    ],
)
def test_labels_that_do_not_fit_are_said(labelled, text, sentence):
    table = labelled.parent / "bad.csv"
    table.write_text(text)
    with pytest.raises(HeteroError, match=sentence):
        read_labels(table)
    table.unlink()


def test_a_label_outside_its_map_is_said(labelled):
    with pytest.raises(HeteroError, match=r"The level 1e\+09 given for .*m0.mrc lies outside its values"):
        LabelledMap(labelled.parent / "m0.mrc", 1e9).read()


HEADER_3 = """<emd emdb_id="EMD-7"><map><contour_list>
<contour primary="false"><level>9</level></contour>
<contour primary="true"><level>0.25</level><source>AUTHOR</source></contour></contour_list></map></emd>"""
HEADER_1 = '<emdEntry accessCode="8"><map><contourLevel source="author">0.5</contourLevel></map></emdEntry>'


def test_emdb_folder_in_both_layouts(tmp_path):
    volume = Volume(np.random.default_rng(0).normal(size=(12, 12, 12)))
    write_map(tmp_path / "emd_0007.map", volume)
    (tmp_path / "emd-0007.xml").write_text(HEADER_3)
    archive = tmp_path / "EMD-8"
    for name in ("map", "header"):
        (archive / name).mkdir(parents=True)
    write_map(archive / "map" / "emd_8.map", volume)
    (archive / "header" / "emd-8.xml").write_text(HEADER_1)
    write_map(tmp_path / "emd_9.map", volume)
    (tmp_path / "emd-9.xml").write_text("<emd><map/></emd>")
    found = {one.path.name: one.level for one in read_emdb_folder(tmp_path)}
    assert found == {"emd_0007.map": 0.25, "emd_8.map": 0.5}
    (tmp_path / "emd-9.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><emd>&b;</emd>')
    with pytest.raises(HeteroError, match="declares its own XML entities"):
        header_level(tmp_path / "emd-9.xml")
    (tmp_path / "none").mkdir()
    with pytest.raises(HeteroError, match="0 EMDB maps and 0 headers"):
        read_emdb_folder(tmp_path / "none")


@pytest.mark.slow
def test_published_network_trains_by_its_own_rules(tmp_path, labelled):
    settings = train_level.Settings(out=tmp_path / "p.pth", labels=labelled, network="published", epochs=2, threads=2)
    result = train_level.run(settings)
    assert result["losses"][1] < result["losses"][0]
    assert isinstance(load_network(tmp_path / "p.pth"), PublishedLevelNetwork)
    with pytest.raises(HeteroError, match="holds the other network"):
        train_level.run(train_level.Settings(out=tmp_path / "q.pt", labels=labelled, start=str(tmp_path / "p.pth")))


def test_two_per_cent_of_the_training_beat_the_percentile(tmp_path, globule):
    """240 of the 12,000 maps of the packaged weights, on structures made here: the whole verb, end to end."""
    folder = tmp_path / "structures"
    folder.mkdir()
    for i in range(6):
        _write_pdb(folder / f"s{i}.pdb", globule(i, 900 + 500 * i, 1 + i % 4, radius=22 + 5 * i))
    settings = train_level.Settings(folder, out=tmp_path / "w.pt", maps=240, epochs=2, held_out_maps=20, max_box=64,
                                    correction_maps=60, processes=2)  # fmt: skip
    result = train_level.run(settings)
    assert result["losses"][1] < 0.8 * result["losses"][0]
    report = result["report"]
    assert report["ours"]["mae"] < report["percentile 99"]["mae"]
    assert 0.3 < report["coverage"]["share"] < 1
