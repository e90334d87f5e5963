"""The folders of a store are judged before anything is written; the look is the real script on real folders."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from stowage.site.escaping import systemd_quoted
from stowage.site.store_paths import StorePathNeeds, judge_paths, look_script, parsed

NEEDS = StorePathNeeds(
    data_dirs=["/srv/d1"],
    user="rustfs",
    uid=10001,
    gid=10001,
    filesystems=["ext4", "xfs"],
    min_free_mb=1024,
    allow_same_device=False,
    volumes="/srv/d1",
    settings_file="/etc/rustfs/rustfs.env",
    allow_topology_change=False,
)


def line(folder="/srv/d1", **changed):
    told = {"there": "yes", "parent": "yes", "full": "no", "owner": 10001, "device": 1, "type": "xfs", "free_mb": 5000}
    pairs = {**told, **changed}
    return "path " + " ".join(f"{name}={value}" for name, value in pairs.items()) + f" dir={folder}\n"


def judged(output, **needs):
    return [str(problem) for problem in judge_paths("nas1", output, "", replace(NEEDS, **needs))]


def test_a_good_folder_passes():
    assert judged(line()) == []


def test_data_of_another_user_is_refused_with_the_command_that_mends_it():
    (told,) = judged(line(full="yes", owner=0))
    assert "holds data of user 0, but the server runs as 10001 (rustfs)" in told
    assert "chown -R 10001:10001 /srv/d1" in told


def test_an_empty_folder_of_another_user_is_the_role_s_to_give():
    assert judged(line(owner=0)) == []


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "vfat", "tmpfs", "overlay"])
def test_a_file_system_that_is_not_a_local_disk_s_is_refused(kind):
    (told,) = judged(line(type=kind))
    assert f"lies on {kind}; right: one of ext4, xfs" in told


def test_too_little_room_is_refused():
    (told,) = judged(line(free_mb=1023))
    assert "1023 MB free at /srv/d1; right: at least 1024 MB" in told


def test_a_disk_that_is_not_mounted_is_named():
    (told,) = judged(line(there="no", parent="no"))
    assert "the folder above /srv/d1 is not there" in told


def test_several_folders_on_one_disk_are_refused():
    (told,) = judged(line() + line("/srv/d2"), data_dirs=["/srv/d1", "/srv/d2"])
    assert "/srv/d1 and /srv/d2 lie on one disk" in told


def test_several_folders_on_one_disk_may_be_allowed():
    assert judged(line() + line("/srv/d2"), data_dirs=["/srv/d1", "/srv/d2"], allow_same_device=True) == []


def test_folders_on_disks_of_their_own_pass():
    assert judged(line() + line("/srv/d2", device=2), data_dirs=["/srv/d1", "/srv/d2"]) == []


def test_another_set_of_disks_than_at_the_start_is_refused():
    (told,) = judged("volumes=/srv/d1\n" + line() + line("/srv/d2", device=2), data_dirs=["/srv/d1", "/srv/d2"],
                     volumes="/srv/d1 /srv/d2")  # fmt: skip
    assert 'set up on "/srv/d1" and is now described as "/srv/d1 /srv/d2"' in told


def test_the_same_disks_pass_again():
    assert judged("volumes=/srv/d1\n" + line()) == []


def test_a_number_that_is_somebody_else_s_is_refused():
    told = judged("uid_user=alice\ngid_group=staff\nuser_uid=\n" + line())
    assert "number 10001 belongs to user alice" in told[0]
    assert "number 10001 belongs to group staff" in told[1]


def test_a_user_of_that_name_with_another_number_is_refused():
    (told,) = judged("uid_user=\ngid_group=\nuser_uid=998\n" + line())
    assert "user rustfs has number 998, not 10001; right: rustfs_uid: 998" in told


def test_the_server_s_own_user_passes():
    assert judged("uid_user=rustfs\ngid_group=rustfs\nuser_uid=10001\n" + line()) == []


def test_a_look_that_did_not_run_is_told():
    problems = judge_paths("nas1", "", "sudo: a password is required", NEEDS)
    assert "did not run (sudo: a password is required)" in str(problems[0])


def test_the_settings_of_the_role_are_written_in_the_form_that_the_script_looks_for():
    template = (Path(__file__).parents[3] / "roles/rustfs/templates/rustfs.env.j2").read_text()
    assert "{{ name }}={{ value | systemd_quoted }}\n" in template
    assert systemd_quoted("/a /b") == '"/a /b"'


def test_the_script_sees_what_is_there(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    (tmp_path / "with a blank").mkdir()
    settings = tmp_path / "rustfs.env"
    settings.write_text('RUSTFS_REGION="x"\nRUSTFS_VOLUMES="/a /b"\n')
    folders = [str(full), str(tmp_path / "with a blank"), str(tmp_path / "a" / "b"), str(settings)]
    script = look_script(replace(NEEDS, data_dirs=folders, settings_file=str(settings), uid=0, user="root"))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    seen, volumes = parsed(done.stdout)
    assert volumes == "/a /b"
    assert "uid_user=root\n" in done.stdout
    assert "user_uid=0\n" in done.stdout
    assert [one.dir for one in seen] == folders
    assert [one.there for one in seen] == ["yes", "yes", "no", "file"]
    assert [one.full for one in seen] == [True, False, False, False]
    assert [one.parent for one in seen] == [True, True, False, True]
    assert {one.owner for one in seen} == {os.getuid()}
    assert len({one.device for one in seen}) == 1
    assert all(one.free_mb > 0 and one.type != "unknown" for one in seen)
