"""Each kind of site that the example speaks of passes preflight, and what it would place is right."""

import os
import shutil
import subprocess

import pytest

RUSTFS = {"object_store_provider": "rustfs"}
DIGEST = "sha256:" + "0" * 64
IMAGES = {"rustfs_image_digest": DIGEST, "fluent_bit_container_digest": DIGEST}
QATLASD = {
    "app_services": ["filator", "qatlasd"],
    "qatlasd_binary_url": "https://downloads.example.org/qatlasd-linux-amd64",
    "qatlasd_binary_checksum": DIGEST,
}
SITES = {
    "as it comes": {},
    "RustFS as a program": RUSTFS | {"rustfs_install_method": "binary", "rustfs_archive_checksum": DIGEST},
    # The sink comes the way the store does, and both images are pinned.
    "RustFS in a container": RUSTFS | IMAGES | {"rustfs_install_method": "container"},
    "RustFS on a NAS with an interface of its own": RUSTFS | IMAGES | {"rustfs_install_method": "compose_file"},
    "qatlasd beside filator": QATLASD,
    "one key for all app hosts": {"edge_keys": "shared"},
}


@pytest.mark.parametrize("name", SITES)
def test_the_site_passes_preflight(variant, name):
    done = variant(**SITES[name]).preflight()
    assert done.returncode == 0, done.stdout


def validate(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rendered(variant):
    site = variant(**QATLASD)
    assert site.preflight().returncode == 0
    return site.render()


def test_every_template_of_every_role_renders_with_the_values_of_the_site(rendered):
    found = {path.relative_to(rendered).as_posix() for path in rendered.rglob("*") if path.is_file()}
    assert {"edge-north/caddy/Caddyfile", "edge-south/nginx/nginx.conf", "vps1/qatlasd/qatlasd.env"} <= found
    assert all((rendered / path).read_text().strip() for path in found)
    assert not [path for path in found if "CHANGE_ME" in (rendered / path).read_text()]


def test_the_links_of_qatlasd_are_signed_for_an_edge_and_the_store_is_reached_inside(rendered):
    said = dict(
        line.split("=", 1) for line in (rendered / "vps1/qatlasd/qatlasd.env").read_text().splitlines() if "=" in line
    )
    assert said["QATLAS_S3_ENDPOINT"] == "'http://10.9.0.1:9000'"
    assert said["QATLAS_S3_PUBLIC_ENDPOINT"] == "'https://s3.north.example.org'"
    assert said["QATLAS_EDGE_NAME"] == "'vps1'"
    assert not any(name == "QATLAS_S3_BUCKET" for name in said)


def test_caddy_calls_its_sites_valid(rendered, tmp_path):
    if not shutil.which("caddy"):
        pytest.skip("needs caddy on the controller")
    home = f"XDG_DATA_HOME={tmp_path}"
    file = rendered / "edge-north/caddy/Caddyfile"
    validate(
        "env", home, f"XDG_CONFIG_HOME={tmp_path}", "caddy", "validate", "--adapter", "caddyfile", "--config", file
    )


def test_nginx_calls_its_sites_valid(rendered, tmp_path):
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not nginx or not shutil.which("openssl"):
        pytest.skip("needs nginx and openssl on the controller; the scenario edges runs it on its hosts")
    pair = [tmp_path / "internal.key", tmp_path / "internal.crt"]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        pair[0],
        "-out",
        pair[1],
    ]
    validate(*make)
    text = (rendered / "edge-south/nginx/nginx.conf").read_text()
    file = tmp_path / "nginx.conf"
    file.write_text(text.replace("/run/nginx/", f"{tmp_path}/").replace("/etc/nginx/tls/", f"{tmp_path}/"))
    validate(nginx, "-t", "-e", "stderr", "-c", file, "-g", f"pid {tmp_path}/pid;")


@pytest.mark.parametrize(("keys", "own"), [("per_edge", True), ("shared", False)])
def test_every_app_host_has_a_key_of_its_own_unless_it_is_shared(variant, keys, own):
    site = variant(object_store_provider="rustfs", rustfs_archive_checksum=DIGEST, edge_keys=keys)
    hosts = site.inventory / "hosts.yml"
    app = "    app:\n      hosts:\n        vps1:\n"
    text = hosts.read_text()
    assert app in text
    hosts.write_text(text.replace(app, f"{app}        edge-south:\n"))
    done = site.preflight()
    assert done.returncode == 0, done.stdout
    names = site.secrets().keys()
    assert "vault_filator_s3_access_key" in names
    assert ("vault_filator_s3_access_key_edge_south" in names) is own
