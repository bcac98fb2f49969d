"""OIDC providers: what may be one, and what is told of it."""

from __future__ import annotations

import pytest

from inservice.identity.iam.oidc import provider_name
from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import Refused

URL = "https://token.actions.githubusercontent.com"
ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
ONE = {"OpenIDConnectProviderArn": ARN}
PRINT = "6938fd4d98bab03faadb97b34396831e3780aea1"


def test_one_is_made_told_changed_and_deleted(perform: Perform) -> None:
    tags = [{"Key": "Team", "Value": "x"}]
    made = perform(
        "CreateOpenIDConnectProvider",
        Url=URL,
        ClientIDList=["sts.amazonaws.com", "sts.amazonaws.com"],
        ThumbprintList=[PRINT],
        Tags=tags,
        now=5.0,
    )
    assert made == {"OpenIDConnectProviderArn": ARN, "Tags": tags}
    assert perform("GetOpenIDConnectProvider", **ONE) == {
        "Url": "token.actions.githubusercontent.com",
        "ClientIDList": ["sts.amazonaws.com"],
        "ThumbprintList": [PRINT],
        "CreateDate": 5.0,
        "Tags": tags,
    }
    assert perform("ListOpenIDConnectProviders") == {"OpenIDConnectProviderList": [{"Arn": ARN}]}
    assert perform("GetAccountSummary")["SummaryMap"]["Providers"] == 1
    for _ in range(2):  # each of them may be said twice
        perform("AddClientIDToOpenIDConnectProvider", **ONE, ClientID="more")
    assert perform("GetOpenIDConnectProvider", **ONE)["ClientIDList"] == [
        "sts.amazonaws.com",
        "more",
    ]
    for _ in range(2):
        perform("RemoveClientIDFromOpenIDConnectProvider", **ONE, ClientID="sts.amazonaws.com")
    perform("UpdateOpenIDConnectProviderThumbprint", **ONE, ThumbprintList=["A" * 40, "b" * 40])
    perform("TagOpenIDConnectProvider", **ONE, Tags=[{"Key": "team", "Value": "y"}])
    perform("UntagOpenIDConnectProvider", **ONE, TagKeys=["Team"])
    told = perform("GetOpenIDConnectProvider", **ONE)
    assert told["ClientIDList"] == ["more"]
    assert told["ThumbprintList"] == ["A" * 40, "b" * 40]
    assert told["Tags"] == [{"Key": "team", "Value": "y"}]
    assert perform("ListOpenIDConnectProviderTags", **ONE)["Tags"] == told["Tags"]
    for _ in range(2):
        perform("DeleteOpenIDConnectProvider", **ONE)
    assert perform("ListOpenIDConnectProviders") == {"OpenIDConnectProviderList": []}


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "example.com", "ftp://example.com", "https://", "https:///x"),
        *("https://user@example.com", "https://example.com?x=1", "https://example.com#x"),
        *("https://example.com:0", "https://example.com:70000", "https://Example.com"),
        *("https://example.com/a b", "https://exa mple.com", "https://[::1", "https://*.com"),
        *("http://127.0.0.1.example.com", "http://localhost.example.com", "https://-x-/"),
        *("https://example.com/\r\nHost: evil", "https://ex\u00e4mple.com", "http://10.0.0.1"),
    ],
)
def test_what_is_no_url_of_one_is_refused(refused: Refused, url: str) -> None:
    words = ("ValidationError", "Invalid Open ID Connect Provider URL")
    assert refused("CreateOpenIDConnectProvider", Url=url) == words


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com", "https://example.com/", "https://example.com:8443/a/B_c~d"),
        *(
            "http://127.0.0.1:9000/realm",
            "http://localhost",
            "http://[::1]:80/x",
            "https://10.0.0.1",
        ),
    ],
)
def test_its_name_is_the_url_without_its_scheme(url: str) -> None:
    assert provider_name(url) == url.partition("://")[2]


def test_bounds_and_words(perform: Perform, refused: Refused) -> None:
    perform("CreateOpenIDConnectProvider", Url=URL)
    assert refused("CreateOpenIDConnectProvider", Url=URL) == (
        "EntityAlreadyExists",
        f"Provider with url {URL} already exists.",
    )
    other = "https://other.example"
    many = [str(number) for number in range(101)]
    assert refused("CreateOpenIDConnectProvider", Url=other, ClientIDList=many) == (
        "LimitExceeded",
        "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100",
    )
    assert refused("CreateOpenIDConnectProvider", Url=other, ThumbprintList=[PRINT] * 6) == (
        "InvalidInput",
        "Thumbprint list must contain fewer than 5 entries.",
    )
    assert refused("CreateOpenIDConnectProvider", Url=other, ThumbprintList=["z" * 40])[0] == (
        "InvalidInput"
    )
    twice = [{"Key": "k", "Value": "v"}] * 2
    assert refused("CreateOpenIDConnectProvider", Url=other, Tags=twice)[0] == "InvalidInput"
    for number in range(100):
        perform("AddClientIDToOpenIDConnectProvider", **ONE, ClientID=str(number))
    assert refused("AddClientIDToOpenIDConnectProvider", **ONE, ClientID="more")[0] == (
        "LimitExceeded"
    )
    gone = {"OpenIDConnectProviderArn": f"{ARN}/other"}
    for name, more in (
        ("GetOpenIDConnectProvider", {}),
        ("AddClientIDToOpenIDConnectProvider", {"ClientID": "x"}),
        ("RemoveClientIDFromOpenIDConnectProvider", {"ClientID": "x"}),
        ("UpdateOpenIDConnectProviderThumbprint", {"ThumbprintList": []}),
        ("TagOpenIDConnectProvider", {"Tags": []}),
        ("UntagOpenIDConnectProvider", {"TagKeys": []}),
        ("ListOpenIDConnectProviderTags", {}),
    ):
        words = ("NoSuchEntity", f"OpenIDConnect Provider not found for arn {ARN}/other")
        assert refused(name, **gone, **more) == words
        wrong = {"OpenIDConnectProviderArn": f"arn:aws:iam::{ACCOUNT}:role/x"}
        assert refused(name, **wrong, **more)[0] == "InvalidInput"
    for number in range(99):
        perform("CreateOpenIDConnectProvider", Url=f"https://{number}.example")
    assert refused("CreateOpenIDConnectProvider", Url=other) == (
        "LimitExceeded",
        "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100",
    )
