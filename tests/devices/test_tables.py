from edge_vos.devices.tables import markdown_table


def test_a_cell_stays_one_cell_and_figures_stand_to_the_right() -> None:
    table = markdown_table([("name", "ms"), ("a|b", "two\nlines")], figures_from=1)
    assert table == "| name | ms |\n| --- | ---: |\n| a\\|b | two lines |\n"
    assert markdown_table([("", "")]) == "|  |  |\n| --- | --- |\n"
