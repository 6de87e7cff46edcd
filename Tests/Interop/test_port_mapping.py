"""PCP, NAT-PMP and UPnP against Debian's miniupnpd, in namespaces (router_lab.py), from both sides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from conftest import HERE, swift_program

NOT_HERE = 77


def lab(case: str) -> dict[str, Any]:
    binaries = str(swift_program("shadowmesh-lightnode").parent)
    done = subprocess.run(
        [sys.executable, HERE / "router_lab.py", case],
        capture_output=True, text=True, timeout=180, env={**os.environ, "SHADOWMESH_BIN": binaries},
    )
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("case", "name"), [("pcp", "PCP"), ("nat-pmp", "NAT-PMP"), ("upnp", "UPnP")])
def test_a_port_is_mapped_reached_renewed_and_removed(case, name):
    seen = lab(case)
    assert seen["mapping"]["by"] == name, seen
    assert seen["mapping"]["endpoint"].startswith("11.77.0.1:")
    assert seen["mappings"] == 1 and seen["reached"], seen
    assert seen["seconds"] < 4
    if "later" in seen:
        assert seen["later"]["endpoint"] == seen["mapping"]["endpoint"] and seen["reached later"], seen
    assert seen["ended well"] and seen["mappings after"] == 0 and not seen["reached after"], seen


def test_a_router_that_starts_anew_is_noticed_within_a_minute():
    seen = lab("restart")
    assert seen["reached"] and seen["seconds"] < 70, seen


def test_a_router_behind_a_provider_nat_maps_nothing_and_the_reason_is_told():
    seen = lab("double-nat")
    assert seen["mappings"] == 0 and "endpoint" not in seen["mapping"], seen
    assert "no public address" in seen["mapping"]["summary"], seen
    assert not any("100.64" in endpoint for endpoint in seen["announced"]), seen


def test_nothing_is_asked_for_when_it_is_off():
    seen = lab("off")
    assert seen["mapping"]["summary"] == "port_mapping is off" and seen["mappings"] == 0, seen


def test_netcheck_waits_for_the_router_and_holds_its_address_against_what_servers_see():
    seen = lab("netcheck")
    report = seen["report"]
    assert report["finished"] and seen["seconds"] < 5.5, seen
    assert report["port_mapping"]["by"] == "UPnP" and report["port_mapping"]["endpoint"], seen
    assert [report["port_mapping"][key] for key in ("pcp", "nat_pmp", "upnp")] == ["no answer", "no answer", "yes"], seen
    assert report["udp"] and report["ipv4"]["carrier_grade"] is True, seen
    assert report["servers"][0]["milliseconds"] < 1000, seen
