"""What import-linter does not say of the modules: that none leads back to itself."""

import pytest

grimp = pytest.importorskip("grimp")


def circles(graph) -> list[list[str]]:
    """Modules that import each other, directly or through others."""
    imported = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    left = dict(imported)
    while True:  # what imports nothing that is left is in no circle
        free = [m for m, others in left.items() if not others & left.keys()]
        if not free:
            return sorted(left)
        for module in free:
            del left[module]


def test_no_module_leads_back_to_itself() -> None:
    graph = grimp.build_graph("aezoo", exclude_type_checking_imports=True)
    assert len(graph.modules) > 150
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")):
        graph.add_import(importer=importer, imported=imported)
    assert {"b", "c"} <= set(circles(graph))
