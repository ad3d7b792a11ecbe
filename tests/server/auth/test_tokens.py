import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.issuer import AUDIENCE, ISSUER, Issuer

from flowgram_server.auth.claims import ClaimNames
from flowgram_server.auth.errors import AuthError, CredentialsInvalid, PermissionDenied
from flowgram_server.auth.principal import Principal, Role
from flowgram_server.auth.signing_keys import FileKeys, KeySet
from flowgram_server.auth.tokens import ALGORITHMS, Tokens


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.keys |= {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed": ed25519.Ed25519PrivateKey.generate(),
        "p384": ec.generate_private_key(ec.SECP384R1()),
    }
    return issuer


def tokens_of(issuer: Issuer, claims: ClaimNames | None = None, leeway: float = 0) -> Tokens:
    keys = FileKeys()
    keys.replace(KeySet(jwt.PyJWKSet.from_json(issuer.key_set()).keys))
    return Tokens(keys, ISSUER, AUDIENCE, claims or ClaimNames(), leeway)


async def why_not(tokens: Tokens, token: str) -> AuthError:
    with pytest.raises(AuthError) as caught:
        await tokens.verify(token, 0)
    return caught.value


@pytest.mark.parametrize(
    ("key_id", "algorithm"),
    [
        ("one", "ES256"),
        ("rsa", "RS256"),
        ("rsa", "RS512"),
        ("rsa", "PS256"),
        ("ed", "EdDSA"),
        ("p384", "ES384"),
    ],
)
async def test_a_token_of_the_issuer(issuer: Issuer, key_id: str, algorithm: str) -> None:
    """Its bearer is who it says, until it expires; the key may be of any kind that can be published."""
    expires = int(time.time()) + 60
    verified = await tokens_of(issuer, leeway=5).verify(issuer.token(key_id, algorithm, exp=expires), 0)
    assert verified == (Principal("token:somebody", "team-a", Role.RUNNER), (expires + 5) * 1_000_000)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": int(time.time()) - 10}, "has expired"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": []}, "aud"),
        ({"iss": "https://evil.example.com/"}, "another issuer"),
        ({"exp": None}, "has no exp"),
        ({"aud": None}, "has no aud"),
        ({"iss": None}, "has no iss"),
        ({"sub": None}, "has no sub"),
        ({"sub": ""}, "names nobody"),
        ({"exp": "soon"}, "not valid"),
    ],
)
async def test_claims_that_are_not_valid(issuer: Issuer, changes: dict[str, Any], expected: str) -> None:
    """Each is refused, and the text says why."""
    error = await why_not(tokens_of(issuer), issuer.token(**changes))
    assert isinstance(error, CredentialsInvalid)
    assert expected in str(error)


async def test_clocks_may_differ(issuer: Issuer) -> None:
    """A token that has expired a moment ago, or begins in one, is valid within the leeway."""
    now = int(time.time())
    await tokens_of(issuer, leeway=30).verify(issuer.token(exp=now - 10, nbf=now + 10), 0)


async def test_a_key_of_somebody_else(issuer: Issuer) -> None:
    """A token that says that it is signed with the issuer's key, and is not, is refused; so is one of an unknown key."""
    stranger = Issuer()
    assert isinstance(await why_not(tokens_of(issuer), stranger.token()), CredentialsInvalid)
    stranger.keys["two"] = stranger.keys["one"]
    assert "a key that its issuer does not have" in str(
        await why_not(tokens_of(issuer), stranger.token("two"))
    )


async def test_no_signature(issuer: Issuer) -> None:
    """Alg none is none, in any case, and whatever stands where the signature was."""
    head, body, signature = issuer.token().split(".")
    for name in ("none", "None", "NONE", ""):
        forged = _encoded({"alg": name, "kid": "one"})
        for end in ("", signature):
            assert "signed by one of" in str(await why_not(tokens_of(issuer), f"{forged}.{body}.{end}"))
    assert isinstance(await why_not(tokens_of(issuer), f"{head}.{body}."), CredentialsInvalid)


async def test_the_public_key_as_a_secret(issuer: Issuer) -> None:
    """A token that is signed with the published key as if it were a secret is refused."""
    public = issuer.keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, body, _ = issuer.token().split(".")

    signed = f"{_encoded({'alg': 'HS256', 'kid': 'rsa'})}.{body}"
    mac = hmac.digest(public, signed.encode(), hashlib.sha256)
    forged = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    assert "signed by one of" in str(await why_not(tokens_of(issuer), forged))
    assert not any(name.startswith("HS") for name in ALGORITHMS)


async def test_an_algorithm_of_another_kind_of_key(issuer: Issuer) -> None:
    """The algorithm in the head of a token must be one for the key."""
    _, body, signature = issuer.token().split(".")
    for algorithm in ("RS256", "EdDSA", "ES384"):
        head = _encoded({"alg": algorithm, "kid": "one"})
        assert isinstance(await why_not(tokens_of(issuer), f"{head}.{body}.{signature}"), CredentialsInvalid)


async def test_a_key_that_names_its_algorithm(issuer: Issuer) -> None:
    """Where the issuer says what a key is for, it is for nothing else."""
    keys = json.loads(issuer.key_set())
    keys["keys"] = [{**key, "alg": "RS256"} for key in keys["keys"] if key["kid"] == "rsa"]
    found = FileKeys()
    found.replace(KeySet(jwt.PyJWKSet.from_dict(keys).keys))
    tokens = Tokens(found, ISSUER, AUDIENCE, ClaimNames(), 0)
    await tokens.verify(issuer.token("rsa", "RS256"), 0)
    assert "another algorithm" in str(await why_not(tokens, issuer.token("rsa", "PS256")))


def test_secrets_are_no_keys(issuer: Issuer) -> None:
    """A symmetric key in a key set, and one for encryption, are left out."""
    secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "oct"}
    keys = json.loads(issuer.key_set())["keys"]
    found = KeySet(jwt.PyJWKSet.from_dict({"keys": [secret, {**keys[0], "use": "enc"}, keys[1]]}).keys)
    assert found.ids == {"rsa"}


async def test_a_token_without_a_key_id(issuer: Issuer) -> None:
    """It is checked with the only key there is; among several it is refused."""
    token = jwt.encode(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "s",
            "exp": time.time() + 60,
            "namespace": "a",
            "roles": "admin",
        },
        issuer.keys["one"],
        algorithm="ES256",
    )
    single = Issuer()
    single.keys = {"one": issuer.keys["one"]}
    assert (await tokens_of(single).verify(token, 0)).principal.role == Role.ADMIN
    assert "does not have" in str(await why_not(tokens_of(issuer), token))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "a" * 100, "ä.ö.ü", "e30.e30.e30"])
async def test_what_is_no_token(issuer: Issuer, text: str) -> None:
    """It is refused like an unknown key."""
    assert isinstance(await why_not(tokens_of(issuer), text), CredentialsInvalid)


@pytest.mark.parametrize(
    ("names", "changes", "expected"),
    [
        (ClaimNames(), {"roles": "reader admin other"}, ("team-a", Role.ADMIN)),
        (ClaimNames(), {"roles": ["other", "reader", 3, None]}, ("team-a", Role.READER)),
        (ClaimNames(namespace=""), {"namespace": None}, ("default", Role.RUNNER)),
        (ClaimNames(namespace="org.name"), {"org": {"name": "b"}}, ("b", Role.RUNNER)),
        (ClaimNames(namespace="https://x.y/ns"), {"https://x.y/ns": "c"}, ("c", Role.RUNNER)),
        (
            ClaimNames(roles="realm_access.roles", role_of={"ops": Role.ADMIN}),
            {"realm_access": {"roles": ["ops"]}},
            ("team-a", Role.ADMIN),
        ),
    ],
)
async def test_what_claims_mean(
    issuer: Issuer, names: ClaimNames, changes: dict[str, Any], expected: tuple[str, Role]
) -> None:
    """Namespace and role are where the settings say, and the highest role counts."""
    verified = await tokens_of(issuer, names).verify(issuer.token(**changes), 0)
    assert (verified.principal.namespace, verified.principal.role) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": None},
        {"roles": []},
        {"roles": "root"},
        {"roles": {"admin": True}},
        {"roles": True},
        {"namespace": None},
        {"namespace": ""},
        {"namespace": "a/b"},
        {"namespace": ["a"]},
    ],
)
async def test_claims_that_allow_nothing(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A token without role or namespace is valid, and allows nothing here: never something by default."""
    assert isinstance(await why_not(tokens_of(issuer), issuer.token(**changes)), PermissionDenied)


async def test_odd_subjects(issuer: Issuer) -> None:
    """Names in logs are short and printable."""
    verified = await tokens_of(issuer).verify(issuer.token(sub="a\n\x1b" + "ä" * 500), 0)
    assert verified.principal.name == "token:a??" + "?" * 97


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
