"""The paper's numbers as data, against its own arithmetic and what its text says of its figures."""

import numpy as np
import pytest

from flatlab.study import paper

FIGURES = {
    "fig2": ["C1", "F2"],
    "fig3": list(paper.NETWORKS),
    "fig4": ["C1", "F2"],
    "fig5": ["C1", "F2"],
    "fig6": ["C1", "F2"],
    "fig7": list(paper.NETWORKS),
}
TABLES = {"2": paper.TABLE2, "3": paper.TABLE3, "4": paper.TABLE4, "6": paper.TABLE6, "7": paper.TABLE7}


def test_a_value_reads_as_the_paper_prints_it():
    mean, std = value = paper.TABLE2["F1"]["test SB"]
    assert (mean, std) == (98.03, 0.07)
    assert str(value) == "98.03 ± 0.07"
    assert float(value) == 98.03


@pytest.mark.parametrize("number", TABLES)
def test_every_table_is_complete(number):
    table = TABLES[number]
    assert list(table) == [net for net in paper.NETWORKS if number != "6" or net.startswith("C")]
    columns = list(table["C1"])
    assert len(columns) == 4 and all(list(row) == columns for row in table.values())
    for row in table.values():
        for column, value in row.items():
            assert value.std >= 0 and value.mean > 0
            assert value.mean <= 100 or "e-" in column


def test_the_gap_column():
    assert {net: round(paper.gap(net), 2) for net in paper.NETWORKS} == {
        "F1": 0.22,
        "F2": 4.57,
        "C1": 2.78,
        "C2": 1.98,
        "C3": 3.13,
        "C4": 5.27,
    }


def test_sums_over_the_tables():
    """Sums taken from a separate transcription of the tables: they catch a mistyped digit anywhere."""
    sums = {
        number: [round(sum(row[column].mean for row in table.values()), 3) for column in table["C1"]]
        for number, table in TABLES.items()
    }
    assert sums == {
        "2": [598.19, 597.37, 443.99, 426.04],
        "3": [82.56, 2828.92, 23.29, 753.13],
        "4": [26.6, 504.21, 7.04, 157.58],
        "6": [291.05, 291.67, 1075.16, 234.09],
        "7": [443.99, 435.455, 3005.86, 696.31],
    }
    deviations = {
        number: round(sum(value.std for row in table.values() for value in row.values()), 2)
        for number, table in TABLES.items()
    }
    assert deviations == {"2": 9.86, "3": 349.53, "4": 113.3, "6": 156.25, "7": 536.35}


@pytest.mark.parametrize("table", [paper.TABLE3, paper.TABLE4], ids=["3", "4"])
def test_large_batches_are_sharper_and_a_wider_box_is_never_flatter(table):
    for row in table.values():
        for eps in ("1e-3", "5e-4"):
            assert row[f"LB {eps}"].mean > row[f"SB {eps}"].mean
        for batch in ("SB", "LB"):
            assert row[f"{batch} 1e-3"].mean >= row[f"{batch} 5e-4"].mean


def test_table_4s_suspicious_entry_is_the_only_one():
    ratios = {
        (net, batch): row[f"{batch} 1e-3"].mean / row[f"{batch} 5e-4"].mean
        for net, row in paper.TABLE4.items()
        for batch in ("SB", "LB")
    }
    assert ratios.pop(("F1", "LB")) < 1.01
    assert 2.2 <= round(min(ratios.values()), 1) and round(max(ratios.values()), 1) <= 5.8


def test_table_7_repeats_table_2_but_for_two_deviations():
    pairs = {net: (paper.TABLE7[net]["test SB"], paper.TABLE2[net]["test SB"]) for net in paper.NETWORKS}
    assert {net for net, (there, here) in pairs.items() if there.std != here.std} == {"C2", "C4"}
    assert all(there.mean == here.mean for there, here in pairs.values())


def test_networks_and_data_sets():
    assert [network.parameters for network in paper.NETWORKS.values()] == [
        1_462_794,
        2_780_085,
        1_757_834,
        14_991_946,
        1_775_204,
        15_038_116,
    ]
    assert {network.data for network in paper.NETWORKS.values()} == set(paper.DATA_SETS)
    assert [data.large_batch for data in paper.DATA_SETS.values()] == [6_000, 72_133, 5_000, 5_000]


@pytest.mark.parametrize("figure, net", [(figure, net) for figure, nets in FIGURES.items() for net in nets])
def test_every_curve_can_be_read(figure, net):
    series = {
        "fig4": ["test_acc", "sharp_1e-3", "sharp_5e-4"],
        "fig6": ["SB_1e-3", "SB_5e-4", "LB_1e-3", "LB_5e-4"],
    }.get(figure, [None])
    for one in series:
        columns = paper.curve(figure, net, one)
        lengths = {len(column) for column in columns.values()}
        assert len(lengths) == 1 and lengths.pop() >= 25
        for name, column in columns.items():
            assert column.dtype == np.float64 and np.isfinite(column).all()
            if "acc" in name.lower():
                assert -0.1 <= column.min() and column.max() <= 100.1


def test_figure_4_is_read_series_by_series():
    for series, values in {
        "test_acc": [77.8, 76.8, 75.7],
        "sharp_1e-3": [205, 514, 631],
        "sharp_5e-4": [34, 119, 190],
    }.items():
        columns = paper.curve("fig4", "C1", series)
        assert (np.diff(columns["batch_size"]) >= 0).all()
        at = np.interp([1000, 2000, 5000], columns["batch_size"], columns["value"])
        np.testing.assert_allclose(at, values, rtol=0.03)


@pytest.mark.parametrize("figure", ["fig3", "fig7"])
@pytest.mark.parametrize("net", paper.NETWORKS)
def test_paths_have_the_released_codes_alphas_and_stay_under_its_loss_cap(figure, net):
    columns = paper.curve(figure, net)
    np.testing.assert_allclose(columns["alpha"], np.linspace(-1, 2, 25), atol=2e-4)
    for loss in ("loss_train", "loss_test"):
        assert columns[loss].max() <= paper.LOSS_CAP + 0.01


def test_line_and_arc_share_their_ends():
    for net in paper.NETWORKS:
        line, arc = paper.curve("fig3", net), paper.curve("fig7", net)
        for end in (8, 16):  # alpha = 0 and 1
            assert abs(line["acc_test"][end] - arc["acc_test"][end]) < 0.2


def test_barriers_on_the_line():
    """The largest training loss between the two points: none for F1, 9.03 for C4."""
    barriers = {}
    for net in paper.NETWORKS:
        columns = paper.curve("fig3", net)
        between = (columns["alpha"] > -1e-3) & (columns["alpha"] < 1.001)
        barriers[net] = columns["loss_train"][between].max()
    assert barriers["F1"] <= 0.005
    for net, barrier in {"F2": 1.61, "C1": 0.87, "C2": 1.71, "C3": 2.33, "C4": 9.03}.items():
        assert abs(barriers[net] - barrier) < 0.01


def test_the_pair_of_figure_3_that_has_no_gap():
    columns = paper.curve("fig3", "C4")
    assert columns["acc_test"][16] > columns["acc_test"][8]
    assert paper.TABLE2["C4"]["test LB"].mean < paper.TABLE2["C4"]["test SB"].mean


def test_test_curves_do_not_peak_and_decay():
    """Section 2.2: "it is not over-fitting". The best epoch of Fig. 2 is hardly better than the last."""
    for net in FIGURES["fig2"]:
        columns = paper.curve("fig2", net)
        for batch in ("SB_test", "LB_test"):
            assert columns[batch].max() - columns[batch][-1] < 1.0


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("fig9", "F1"), "the digitised figures are fig2, fig3, fig4, fig5, fig6, fig7, not 'fig9'"),
        (("fig2", "C3"), "fig2 shows C1, F2, not 'C3'"),
        (("fig4", "C1"), "the series of fig4 are sharp_1e-3, sharp_5e-4, test_acc, not None"),
        (("fig6", "F2", "1e-3"), "the series of fig6 are LB_1e-3, LB_5e-4, SB_1e-3, SB_5e-4, not '1e-3'"),
        (("fig3", "F1", "test_acc"), "leave series='test_acc' out"),
    ],
)
def test_a_wrong_name_is_refused_with_what_there_is(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        paper.curve(*arguments)


def test_a_wrong_network_has_no_gap():
    with pytest.raises(ValueError, match="networks are C1, C2, C3, C4, F1, F2, not 'C5'"):
        paper.gap("C5")
