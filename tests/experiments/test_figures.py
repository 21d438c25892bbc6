"""Each figure is drawn from its stored table, says where it comes from, and names the command where the table is not stored."""

import pytest

pytest.importorskip("matplotlib")

from restorekit.cli import main
from restorekit.experiments import data_folder, export_results, figures, load_results, mean_and_spread


def stored(name):
    return (data_folder("results") / f"{figures.about(name).table}_quick.csv").exists()


def drawn(canvas):
    """Numbers of marks, bars and legend entries on all axes."""
    return sum(len(ax.patches) + sum(len(line.get_xdata()) for line in ax.lines) for ax in canvas.axes)


@pytest.mark.parametrize("name", figures.names())
def test_a_figure_from_its_stored_table(name):
    if not stored(name):
        with pytest.raises(FileNotFoundError, match=f"experiments run {figures.about(name).table} --size quick"):
            figures.draw(name)
        return
    canvas, about = figures.draw(name), figures.about(name)
    assert drawn(canvas) >= 3 and canvas.get_suptitle() == about.title
    assert f"experiments run {about.table} --size quick" in canvas.get_supxlabel() and about.answers in canvas.get_supxlabel()
    for ax in canvas.axes:
        assert ax.get_ylabel()


def test_a_point_lies_where_the_table_has_it():
    if not stored("mlmc_fig4"):
        pytest.skip("mlmc_ablation is not stored")
    rows = [
        row for row in load_results("mlmc_ablation").rows if row["method"] == "T = 1" and row["dataset"] != "bundled" and row["scale"] == 2
    ]
    expected = mean_and_spread(rows, by=("method",), values=("psnr",))[0]["psnr"]
    assert figures.draw("mlmc_fig4").axes[0].lines[0].get_ydata()[0] == expected


def test_gains_of_planted_rows(tmp_path):
    rows = []
    for image in range(2):
        for method, gain in (("input", 0.0), ("plain", 1.0), ("guided", 3.0)):
            numbers = {"psnr light": 20.0 + image + gain, "psnr heavy": 10.0 + image + 2 * gain}
            rows.append({"method": method, "dataset": "set", "image": str(image), "seed": 0, "cpu_seconds": 0.0, **numbers})
    export_results("rain_guidance", "quick", rows, folder=tmp_path)
    (ax,) = figures.draw("rain", folder=tmp_path).axes
    assert [bar.get_height() for bar in ax.patches] == [1.0, 2.0, 3.0, 6.0]


def test_the_command(tmp_path, capsys):
    rows = [{"method": m, "image": "1", "seed": 0, "cpu_seconds": 0.0, "psnr light": 1.0, "psnr heavy": 2.0} for m in ("input", "plain")]
    export_results("rain_guidance", "quick", rows, folder=tmp_path)
    assert main(["experiments", "figures", "--results", str(tmp_path), "--out", str(tmp_path / "f")]) == 0
    told = capsys.readouterr()
    assert (tmp_path / "f" / "rain_quick.png").stat().st_size > 5000
    assert "mlmc_fig4: Got no stored table" in told.err and "experiments run mlmc_ablation --size quick" in told.err
    assert main(["experiments", "figures", "mlmc_fig4", "--results", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert main(["experiments", "figures", "nothing"]) == 2 and "figure='nothing'" in capsys.readouterr().err
