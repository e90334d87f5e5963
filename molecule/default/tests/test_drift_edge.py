"""side_effect.yml made the edges compress; site.yml has mended it."""

testinfra_hosts = ["edge"]


def test_nothing_is_compressed(host):
    assert "encode" not in host.file("/etc/caddy/Caddyfile").content_string
