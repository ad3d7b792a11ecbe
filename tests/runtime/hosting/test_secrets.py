"""What is masked before anybody sees it."""

from typing import Any

import pytest

from flowgram_core.hosting.secrets import Secrets, mask, mask_urls, scrub, scrub_outputs

KEY = "sk-12345678901234567890"
MASKED = "sk-…7890"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(KEY, MASKED), ("0123456789abcdef", "012…cdef"), ("0123456789abcde", "…"), ("short", "…"), ("", "…")],
)
def test_what_is_shown_of_a_secret(secret: str, shown: str) -> None:
    """Three characters at the front and four at the end of a long one, nothing of a short one."""
    assert mask(secret) == shown


def test_inputs_with_secret_names_are_masked() -> None:
    """The real inputs stay as they are: the call needs them."""
    inputs = {"apiKey": KEY, "prompt": "hello"}
    assert Secrets().mask_inputs(inputs) == {"apiKey": MASKED, "prompt": "hello"}
    assert inputs == {"apiKey": KEY, "prompt": "hello"}


def test_settings_name_more_secrets() -> None:
    """The names are exact, and only those count."""
    secrets = Secrets({"token"})
    assert secrets.mask_inputs({"token": KEY, "apiKey": KEY, "Token": KEY}) == {
        "token": MASKED,
        "apiKey": KEY,
        "Token": KEY,
    }


@pytest.mark.parametrize(
    ("value", "shown"), [(None, None), (5, "…"), ({"a": KEY}, "…"), ([KEY], "…"), ("", "…")]
)
def test_secrets_of_other_types(value: Any, shown: Any) -> None:
    """Nothing is shown of them, but for that there is none."""
    assert Secrets().mask_inputs({"apiKey": value}) == {"apiKey": shown}


def test_inputs_without_secrets_are_not_copied() -> None:
    """Every node run passes here."""
    inputs = {"prompt": "hello"}
    assert Secrets().mask_inputs(inputs) is inputs


CREDENTIALS = [
    *("authorization", "proxy-authorization", "Cookie", "set-cookie", "X-Api-Key", "api-key", "APIKEY", "x-auth-token"),
    *("X-Goog-Api-Key", "X-Amz-Security-Token", "PRIVATE-TOKEN", "X-Vault-Token", "client-secret", "X-Auth"),
    *("Ocp-Apim-Subscription-Key", "X-Hub-Signature-256", "X-Shopify-Access-Token", "x-csrf-token", "X-Password"),
]  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_headers_that_carry_credentials_are_masked(name: str) -> None:
    """Whatever the case of their names; other headers are shown."""
    shown = Secrets().mask_inputs({"headers": {name: f"Bearer {KEY}", "accept": "text/plain"}})
    assert shown == {"headers": {name: "Bea…7890", "accept": "text/plain"}}


def test_names_in_the_settings_hold_for_headers_too() -> None:
    """Where the case of names does not matter."""
    shown = Secrets({"X-Secret"}).mask_inputs({"headers": {"x-secret": KEY, "X-SECRET": KEY, "x-other": KEY}})
    assert shown == {"headers": {"x-secret": MASKED, "X-SECRET": MASKED, "x-other": KEY}}


def test_what_a_request_sends_is_masked() -> None:
    """Its parameters and the fields of its form, by their names; its body where it is no form stays."""
    request = {"params": {"apiKey": KEY, "Authorization": "x"}, "bodyType": "form-data"}
    form = f'{{"apiKey":"{KEY}","n":1.0}}'
    shown = Secrets().mask_inputs({**request, "body": form})
    assert shown["params"] == {"apiKey": MASKED, "Authorization": "…"}
    assert shown["body"] == f'{{"apiKey":"{MASKED}","n":1}}'
    assert Secrets().values({**request, "body": form}) == [KEY, "x", KEY]
    others: list[dict[str, Any]] = [{"body": form, "bodyType": kind} for kind in ("raw-text", None, [], {})]
    for other in [*others, {"body": "no form"}, {"body": "[1]"}, {"body": 5}]:
        given = {**request, **other}
        assert Secrets().mask_inputs(given) == {**given, "params": shown["params"]}


def test_outputs_are_masked_in_their_headers() -> None:
    """An answer may set cookies. Whatever else a node gave is shown, under the name of a secret input, too."""
    outputs = {"headers": {"Set-Cookie": [KEY, KEY], "etag": KEY}, "apiKey": KEY, "params": {"apiKey": KEY}}
    headers = {"Set-Cookie": "…", "etag": KEY}
    assert Secrets().mask_outputs(outputs) == {**outputs, "headers": headers}
    plain = {"apiKey": KEY}
    assert Secrets().mask_outputs(plain) is plain


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://h/p?key={KEY}&q=1#f", f"http://h/p?key={MASKED}&q=1#f"),
        (f"https://h?a=b&access_token={KEY}", f"https://h?a=b&access_token={MASKED}"),
        (f"https://h?sig={KEY}&sv=2024&se=x", f"https://h?sig={MASKED}&sv=2024&se=x"),
        (f"https://h?X-Amz-Signature={KEY}&X-Amz-Date=1", f"https://h?X-Amz-Signature={MASKED}&X-Amz-Date=1"),
        (f"https://h?%61pi_key={KEY}&monkey=1", f"https://h?%61pi_key={MASKED}&monkey=1"),
        (f'no answer of "http://h/?token={KEY}" in time', f'no answer of "http://h/?token={MASKED}" in time'),
        (
            "http://h/?token={{start_0.t}}&key={{a.b}}{{c.d}}",
            "http://h/?token={{start_0.t}}&key={{a.b}}{{c.d}}",
        ),
        (f"https://h/p#access_token={KEY}&state=1", f"https://h/p#access_token={MASKED}&state=1"),
        (f"http://user:{KEY}@h/p?q=1", f"http://user:{MASKED}@h/p?q=1"),
        (f"http://{KEY}@h", f"http://{MASKED}@h"),
        (f'unreachable api "http://u:a@b:{KEY}@h/"', f'unreachable api "http://u:{mask("a@b:" + KEY)}@h/"'),
        (
            "http://{{start_0.user}}:{{start_0.password}}@h/",
            "http://{{start_0.user}}:{{start_0.password}}@h/",
        ),
        ("http://h/a@b and c@d:e@f", "http://h/a@b and c@d:e@f"),
        (f"http://h/?max_tokens=100&author={KEY}", f"http://h/?max_tokens=100&author={KEY}"),
        (f"a text with key={KEY}", f"a text with key={KEY}"),
    ],
)
def test_credentials_in_the_queries_of_addresses_are_masked(address: str, shown: str) -> None:
    """In inputs of whatever name, in schemas and in messages; a placeholder is none."""
    assert mask_urls(address) == shown
    assert Secrets().mask_inputs({"url": address}) == {"url": shown}
    assert Secrets().mask_data({"api": {"url": {"content": address}}}) == {"api": {"url": {"content": shown}}}


def test_passwords_in_addresses_are_secret_texts() -> None:
    """So that no error shows them; a token that stands alone before the host is one, too."""
    secrets = Secrets()
    assert secrets.values({"url": f"http://user:{KEY}@h/"}) == [KEY]
    assert secrets.values({"apiHost": f"http://{KEY}@h/"}) == [KEY]


def test_long_texts_are_not_searched_for_addresses() -> None:
    """They are no addresses, and it would take long."""
    text = f"http://h/?key={KEY} " + "x" * 70_000
    assert mask_urls(text) == text


def test_names_in_the_settings_hold_for_parameters_too() -> None:
    """Declared, bound and sent."""
    secrets = Secrets({"Badge"})
    assert secrets.mask_inputs({"params": {"badge": KEY}}) == {"params": {"badge": MASKED}}
    bound_badge = {"paramsValues": {"badge": {"type": "constant", "content": KEY}}}
    assert secrets.mask_data(bound_badge) == {
        "paramsValues": {"badge": {"type": "constant", "content": MASKED}}
    }


def test_what_may_be_sent_back_is_known_in_all_its_forms() -> None:
    """The token without its scheme, each cookie, the password, and what stands in the query; no short words."""
    inputs = {
        "headers": {
            "Authorization": f"Bearer {KEY}",
            "Cookie": "a=first-cookie; b=short",
            "X-Auth": "Basic dXNlcjpwYXNzd29yZC0x",
            "X-Token": "tiny",
        },
        "url": "http://h/?token=percent%2Dsigned",
    }
    echoes = Secrets().echoes(inputs)
    for text in (KEY, f"Bearer {KEY}", "first-cookie", "password-1", "user:password-1", "percent-signed"):
        assert text in echoes
    assert not {"short", "tiny", "Bearer", "Basic"} & {*echoes}
    assert Secrets().echoes({"apiKey": 'a "quoted" key'}) == [
        'a "quoted" key',
        'a \\"quoted\\" key',
        "a%20%22quoted%22%20key",
    ]


def test_outputs_are_scrubbed_of_what_was_sent_back() -> None:
    """In texts and names at any depth; the same object where there is nothing."""
    outputs = {"body": f"you sent {KEY}", "headers": {"x": [KEY, "y"], KEY: 5}, "statusCode": 200}
    assert scrub_outputs(outputs, [KEY]) == {
        "body": f"you sent {MASKED}",
        "headers": {"x": [MASKED, "y"], MASKED: 5},
        "statusCode": 200,
    }
    assert scrub_outputs(outputs, ["another one"]) is outputs
    assert scrub_outputs(outputs, []) is outputs


def bound(content: Any, kind: str = "constant") -> dict[str, Any]:
    return {"type": kind, "content": content}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (bound(KEY), bound(MASKED)),
        (bound(f"{KEY}{{{{a.b}}}}", "template"), bound("sk-….b}}", "template")),
        (bound(["start_0", "key"], "ref"), bound(["start_0", "key"], "ref")),
        (bound(KEY, "ref"), bound(MASKED, "ref")),
        (bound({"a": [KEY]}), bound({"a": "…"})),
        (bound(None), bound(None)),
        (bound(12345), bound("…")),
        (bound(KEY) | {"schema": {"type": "string"}}, bound(MASKED) | {"schema": {"type": "string"}}),
        ({"type": "string"}, {"type": "string"}),
        ({"type": "string", "default": KEY}, {"type": "string", "default": MASKED}),
        (KEY, MASKED),
        ([KEY], "…"),
        (None, None),
    ],
)
def test_what_a_schema_says_of_secrets_is_masked(said: Any, shown: Any) -> None:
    """Under the name of a secret, wherever it stands: how it is bound and declared may be seen, what it is may not."""
    secrets = Secrets()
    for place in ("apiKey", "inputsValues", "paramsValues"):
        data = {"other": said, place: said if place == "apiKey" else {"apiKey": said, "b": said}}
        inner = shown if place == "apiKey" else {"apiKey": shown, "b": said}
        assert secrets.mask_data(data) == {"other": said, place: inner}
    deep = {"body": {"list": [{"apiKey": said}]}}
    assert secrets.mask_data(deep) == {"body": {"list": [{"apiKey": shown}]}}
    headers = {"properties": {"AUTHORIZATION": said, "x": said, "ApiKey": said}}
    masked = {"properties": {"AUTHORIZATION": shown, "x": said, "ApiKey": shown}}
    data = {"headers": headers, "headersValues": headers["properties"], "authorization": said}
    assert secrets.mask_data(data) == {
        "headers": masked,
        "headersValues": masked["properties"],
        "authorization": said,
    }


@pytest.mark.parametrize("headers", [None, "text", [KEY], {}])
def test_headers_that_are_none(headers: Any) -> None:
    """An input may be called so and be something else."""
    assert Secrets().mask_inputs({"headers": headers}) == {"headers": headers}


def test_the_secrets_in_inputs() -> None:
    """Texts only, those inside of others too: what else is masked whole shows up nowhere else."""
    inputs = {
        "apiKey": KEY,
        "prompt": "hello",
        "headers": {"Authorization": "Bearer x", "accept": "text/plain", "cookie": 5},
    }
    assert Secrets().values(inputs) == [KEY, "Bearer x"]
    assert Secrets().values({"apiKey": None, "headers": None}) == []
    assert Secrets().values({"apiKey": [KEY, {"a": ["b", 1]}], "other": ["x"]}) == [KEY, "b"]


def test_texts_are_scrubbed_of_secrets() -> None:
    """Every occurrence; nothing where there is no secret."""
    assert scrub(f"bad key {KEY} ({KEY})", [KEY]) == f"bad key {MASKED} ({MASKED})"
    assert scrub("all is well", [KEY, ""]) == "all is well"


def test_a_secret_inside_another_leaves_nothing_behind() -> None:
    """The longer one is masked first, whichever was named first."""
    longer = f"{KEY}-and-more-of-it"
    assert scrub(f"bad key {longer}", [KEY, longer]) == "bad key sk-…f-it"
