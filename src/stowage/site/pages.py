"""All pages of the repository that are made from data, with the text they should have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stowage.site.names import load_mapping
from stowage.site.role_page import new_page, put_between_marks, variables_table
from stowage.site.store_page import store_page
from stowage.site.stores import load_stores

SITE_START = "<!-- site variables: made by scripts/role-readmes from roles/preflight/vars/main.yml -->"
SITE_END = "<!-- end of site variables -->"


def made_pages(root: Path) -> Iterator[tuple[Path, str]]:
    """Work out every page that is made from data.

    Args:
        root: The checkout.

    Returns:
        Pairs of path and the text that should stand there.

    Raises:
        BadInputError: A page has lost its marks, or a source is no YAML.
    """
    yield root / "docs" / "stores.md", store_page(load_stores())
    for specs_file in sorted(root.glob("roles/[!_]*/meta/argument_specs.yml")):
        role = specs_file.parents[1]
        specs = load_mapping(specs_file)
        page = role / "README.md"
        text = page.read_text(encoding="utf-8") if page.is_file() else new_page(role.name, specs)
        yield page, put_between_marks(text, variables_table(specs))
    inventory = root / "docs" / "inventory.md"
    if inventory.is_file():
        table = site_variables_table(root / "roles" / "preflight" / "vars" / "main.yml")
        yield inventory, put_between_marks(inventory.read_text(encoding="utf-8"), table, SITE_START, SITE_END)


def site_variables_table(path: Path) -> str:
    """Return the Markdown table of the variables that belong to the site and to no role.

    Args:
        path: Vars file of role preflight.
    """
    rows = ["| Variable | What it is |", "|---|---|"]
    rows += [f"| `{name}` | {text} |" for name, text in load_mapping(path)["_preflight_site_variables"].items()]
    return "\n".join(rows) + "\n"
