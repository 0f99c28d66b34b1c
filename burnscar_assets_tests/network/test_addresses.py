import ipaddress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.network import masking
from burnscar_assets.network.addresses import check_address, host_of, is_private_name, with_secrets
from burnscar_assets.network.masking import mask_address

_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$*+,:%"
SECRETS = st.text(_CHARACTERS, min_size=8, max_size=40).map(lambda text: f"S3kr{text}")
NAMES = st.sampled_from(
    [
        *("token", "access_token", "sig", "Signature", "key", "api_key", "apikey", "password", "pwd", "client_secret"),
        *("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "AWSAccessKeyId", "jwt"),
        *("subscription-key", "auth", "sas", "%74oken", "code"),
    ]
)
PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/4", "0.0.0.0/8"]


@given(SECRETS, NAMES, st.sampled_from(["https://host/a.zip", "s3://bucket/key", "/path", "http://h:81"]))
def test_a_secret_of_the_query_is_not_shown(secret: str, name: str, base: str) -> None:
    for url in (f"{base}?{name}={secret}&f=json", f"{base}?f=json&{name}={secret}", f"{base}#{name}={secret}"):
        for text in (url, f"Max retries exceeded with url: {url} (Caused by it)", f"('{url}', 3)"):
            assert secret not in mask_address(text)
            assert base in mask_address(text)


@given(SECRETS, st.sampled_from(["http", "https", "ftp"]), st.booleans())
def test_a_user_of_the_address_is_not_shown(secret: str, scheme: str, encoded: bool) -> None:
    password = quote(secret, safe="") if encoded else secret
    url = f"{scheme}://user:{password}@host.org:81/fire.zip?x=1"
    assert mask_address(f"no {url} here") == f"no {scheme}://***@host.org:81/fire.zip?x=1 here"


def test_what_is_within_an_address_is_masked_too() -> None:
    inner = quote("https://user:S3kret@h/x?sig=S3kret2", safe="")
    masked = mask_address(f"/vsicurl?use_head=no&header.Authorization=Bearer%20S3kret&url={inner}")
    assert "S3kret" not in masked
    assert "use_head=no" in masked
    assert mask_address("Authorization: Bearer S3kretS3kret") == "Authorization: Bearer ***"


@pytest.mark.parametrize(
    "url",
    [
        "https://services1.arcgis.com/x/FeatureServer/0/query?where=1%3D1&f=geojson&outFields=*",
        "https://host/fire241gdb.ashx?rev=51177a999fe84e83a7c03b7d5a66b93b",
        "data/fire_perimeters.zip",
        "nobody@example.org wrote a=b",
        "https://host/a.zip?token=${FRAP_TOKEN}",
        "",
    ],
)
def test_what_is_no_secret_stays(url: str) -> None:
    assert mask_address(url) == url


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAP_TOKEN", "a/b&c")
    assert with_secrets("https://host/a?token=${FRAP_TOKEN}") == "https://host/a?token=a%2Fb%26c"
    monkeypatch.delenv("FRAP_TOKEN")
    with pytest.raises(SettingsError, match="FRAP_TOKEN, which is not set"):
        with_secrets("https://host/a?token=${FRAP_TOKEN}")


@given(SECRETS, st.sampled_from(["https://host/{}/a.zip", "https://host/a.zip?rev={}", "https://{}.host/a", "{}"]))
def test_what_took_a_variables_place_is_masked_anywhere(secret: str, form: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_substituted", set())
        patch.setenv("FRAP_TOKEN", secret)
        asked = with_secrets(form.format("${FRAP_TOKEN}"))
        for text in (asked, f"Max retries exceeded with url: {asked} (Caused by it)", f"no {secret} here"):
            assert secret not in str(InputError(text)) and quote(secret) not in mask_address(text)
        assert mask_address(form.format("${FRAP_TOKEN}")) == form.format("${FRAP_TOKEN}")


def test_short_values_of_variables_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_substituted", set())
    monkeypatch.setenv("FRAP_RELEASE", "24")
    assert mask_address(with_secrets("https://host/fire${FRAP_RELEASE}.zip")) == "https://host/fire24.zip"


def _forms(address: ipaddress.IPv4Address) -> list[str]:
    number, parts = int(address), str(address).split(".")
    octal = ".".join(f"0{int(part):o}" for part in parts)
    short = f"{parts[0]}.{number & 0xFFFFFF}"
    return [str(address), str(number), hex(number), octal, short, f"[::ffff:{address}]", f"[64:ff9b::{address}]"]


@given(st.sampled_from(PRIVATE), st.integers(1, 65000))
def test_private_addresses_are_refused_in_every_form(network: str, offset: int) -> None:
    for form in _forms(ipaddress.ip_network(network)[offset]):  # type: ignore[arg-type]
        with pytest.raises(InputError, match="private network"):
            check_address(f"http://{form}/latest/meta-data")
        assert is_private_name(host_of(f"http://{form}:8080/"))
        check_address(f"http://{form}/x", ["*", host_of(f"http://{form}/")])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "no address of http, https"),
        ("/vsicurl/http://x/y", "no address of"),
        ("gopher://host/x", "no address of"),
        ("http://", "no address of"),
        ("http://host:abc/", "no address of"),
        ("http://host:99999/", "no address of"),
        ("http://[host/", "no address of"),
        ("http://user:pass@host/x", "carries a user"),
        ("http://host\\@other/x", "carries a user|characters"),
        ("http://ho st/x", "characters"),
        ("http://localhost:3000/", "private network"),
        ("http://metadata.google.internal/x", "private network"),
        ("http://[::1]/", "private network"),
        ("http://[fe80::1%25eth0]/", "private network"),
        ("http://①②⑦.0.0.1/", "private network"),
    ],
)
def test_addresses_that_nothing_foreign_may_name(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_address(url)


def test_only_allowed_hosts_are_asked() -> None:
    check_address("https://e84.blob.core.windows.net/x", ["*.blob.core.windows.net"], setting="imagery.allowed_hosts")
    check_address("s3://bucket/key", ["bucket"], schemes=("s3",))
    with pytest.raises(InputError, match=r"evil\.org, which imagery\.allowed_hosts does not name"):
        check_address("https://evil.org/x", ["*.blob.core.windows.net"], setting="imagery.allowed_hosts")
