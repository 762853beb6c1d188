from __future__ import annotations

from pathlib import Path

import pytest

from tamis.errors import UserError
from tamis.recipes import GENERIC, Recipe, list_recipes, load_recipe, read_recipe, recipe_for

NAMES = [entry.name for entry in list_recipes()]


def write(folder: Path, text: str, name: str = "dealer") -> Path:
    (folder / "recipes").mkdir(exist_ok=True)
    path = folder / "recipes" / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_generic_recipe_declares_nothing() -> None:
    assert load_recipe("generic") == Recipe() == GENERIC
    assert GENERIC.kind_of("https://x.example/p/1") is None


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads_under_its_name_and_says_what_it_is_for(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert len(recipe.description) > 10


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[urls]\nitems = ['/p/']\n", ["line 2", "'items'", "did you mean 'item'"]),
        ("[urls]\nitem = ['(']\n", ["line 2", "item", "no regular expression"]),
        ("[item]\nprice = 'span['\n", ["line 2", "price", "no CSS selector"]),
        ("[item]\nprice = 'json:a..[x'\n", ["line 2", "price", "no path"]),
        ("[item]\nprize = '.price'\n", ["line 2", "'prize'", "'price'"]),
        ("[paging]\npage_size = 'many'\n", ["line 2", "page_size", "whole number"]),
        ("[limits]\nmax_depth = -1\n", ["line 2", "max_depth", "negative"]),
        ("[limits]\nresults_only = 1\n", ["line 2", "results_only", "true or false"]),
        ("[pictures]\nrewrite = [['a']]\n", ["line 2", "rewrite", "pattern"]),
        ("[pictures]\nrewrite = [['a', '\\2']]\n", ["line 2", "rewrite", "replacement"]),
        ("item = 3\n", ["line 1", "item", "table"]),
        ("name = 'a b'\n", ["line 1", "name"]),
        ("[item]\ntitle = ''\n", ["line 2", "title", "list of texts"]),
        ("[item\n", ["not valid TOML"]),
    ],
)
def test_wrong_recipes_are_refused_with_line_and_key(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_recipe(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


def test_a_recipe_of_the_project_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    write(tmp_path, "description = 'a dealer'\ndomains = ['dealer.example']\n[urls]\nitem = ['/car/']\n")
    for name in ("dealer", "recipes/dealer.toml", "dealer.toml"):
        assert load_recipe(name, tmp_path).kind_of("https://dealer.example/car/7") == "item"
    assert "dealer" in [entry.name for entry in list_recipes(tmp_path)]
    assert recipe_for("www.dealer.example", tmp_path).name == "dealer"
    assert recipe_for("dealer.example.org", tmp_path) == GENERIC


def test_a_recipe_of_the_project_goes_before_one_of_the_package(tmp_path: Path) -> None:
    write(tmp_path, "description = 'mine'\n", "shopify")
    assert load_recipe("shopify", tmp_path).description == "mine"


def test_unknown_recipes_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'shopify'"):
        load_recipe("shopfy", tmp_path)
    with pytest.raises(UserError, match=r"mine\.toml"):
        load_recipe("mine.toml", tmp_path)


@pytest.mark.parametrize("host", ["autoscout24.de", "www.autoscout24.com", "autoscout24.co.uk"])
def test_autoscout24_is_known_in_all_countries(host: str) -> None:
    assert recipe_for(host).name == "autoscout24"


def test_pictures_are_rewritten_to_the_largest_size() -> None:
    shop = load_recipe("shopify")
    assert (
        shop.picture_url("https://cdn.shop.example/files/a_600x600.jpg?v=1")
        == "https://cdn.shop.example/files/a.jpg?v=1"
    )
    cars = load_recipe("autoscout24")
    url = "https://prod.pictures.autoscout24.net/listing-images/a_b.jpg/250x188.webp"
    assert cars.picture_url(url).endswith("a_b.jpg/1280x960.webp")
    larger = "https://prod.pictures.autoscout24.net/listing-images/a_b.jpg/1920x1080.webp"
    assert cars.picture_url(larger) == larger
