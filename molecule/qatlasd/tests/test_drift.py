"""What side_effect.yml has spoiled; the run after it has mended it."""

testinfra_hosts = ["app"]


def test_the_settings_are_whole_and_closed_again(host):
    settings = host.file("/etc/quantum-atlas/.env")
    assert settings.mode == 0o600
    assert "QATLAS_S3_SECRET_ACCESS_KEY='" in settings.content_string


def test_the_folders_that_the_unit_names_are_there_again_and_it_runs(host):
    assert host.file("/srv/wiki").user == "qatlasd"
    assert host.service("qatlasd").is_running
    assert host.service("qatlasd").is_enabled


def test_a_unit_whose_folder_is_missing_would_not_start(host):
    """Shows the trap itself, with a unit of its own: without the folder systemd refuses before the program runs."""
    run = "systemd-run --wait -p User=qatlasd -p ProtectSystem=strict -p ReadWritePaths=/srv/not-there /bin/true"
    failed = host.run(run)
    assert failed.rc != 0
    made = host.run(f"mkdir /srv/not-there && {run}; r=$?; rmdir /srv/not-there; systemctl reset-failed; exit $r")
    assert made.rc == 0, made.stderr


def test_it_writes_to_the_store_under_the_name_of_its_edge(host):
    assert "QATLAS_EDGE_NAME='box'" in host.file("/etc/quantum-atlas/.env").content_string


def test_each_bucket_has_its_versions(host):
    said = host.check_output("journalctl -u qatlasd --no-pager -o cat")
    for bucket in ("qatlas-pdf", "qatlas-md", "qatlas-images"):
        assert f"bucket versioning: already enabled on {bucket}" in said
