"""A memory that is encrypted at rest: nothing of it can be read from the disk, and with its key it is a memory like others."""

import subprocess
import threading
from pathlib import Path

import pytest

from interconnected_ai.cli import main
from interconnected_ai.errors import ConfigError, NotAMemoryError, StorageError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, rekey, restore
from memory_stores import SMALL, bytes_of, hashed, message_of, python

pytest.importorskip("sqlcipher3", reason='needs the extra "encryption"')

KEY, OTHER = "correct horse battery staple", "' OR 1=1; --ключ"


def opened(path: Path, key: str | None = KEY, **settings: object) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF", key=key), background=False, **settings)  # type: ignore[arg-type]


def filled(path: Path, key: str | None = KEY) -> list[str]:
    """A memory with words, facts, pins, summaries and vectors; the words that stand in it."""
    with opened(path, key, capacities=SMALL, encode=hashed()) as memory:
        memory.add("user", "My name is Zebediah and I live in Vladivostok.", id="first")
        for number in range(150):
            memory.add("user", message_of(number), id=str(number))
        memory.pin("Answer in haiku")
        memory.set_fact("works at", "Acmeworks")
        memory.catch_up()
    return ["zebediah", "vladivostok", "haiku", "acmeworks", "foxtrot", "messages", "sqlite format"]


def iai(arguments: list[str]) -> object:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def words_in(folder: Path, words: list[str]) -> list[str]:
    """Those of the words that stand in the bytes of any file in a folder."""
    found = bytes_of(folder).lower()
    return [word for word in words if word.encode() in found]


def test_the_bytes_of_an_encrypted_memory_hold_no_words_also_while_it_is_open(tmp_path: Path) -> None:
    plain, secret = tmp_path / "plain", tmp_path / "secret"
    plain.mkdir()
    secret.mkdir()
    words = filled(plain / "memory.db", key=None)
    assert words_in(plain, words) == words, "else this test would find nothing anywhere"
    filled(secret / "memory.db")
    assert words_in(secret, words) == []
    with opened(secret / "memory.db", encode=hashed()) as memory:
        memory.add("user", "Zebediah moved to Kathmandu.")
        assert (secret / "memory.db-wal").stat().st_size
        assert words_in(secret, [*words, "kathmandu"]) == []
        assert memory.search("Kathmandu")
        assert "first" in [one.message.id for one in memory.search("vladivostok")]
        assert "Acmeworks" in memory.context("where do I work?").text
        assert memory.check().is_whole


@pytest.mark.parametrize("key", [OTHER, KEY + " ", "x'" + 64 * "0" + "'"])
def test_another_key_is_refused_and_changes_nothing(tmp_path: Path, key: str) -> None:
    path = tmp_path / "memory.db"
    filled(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="the key does not open it"):
        opened(path, key)
    with pytest.raises(NotAMemoryError, match="give its key"):
        opened(path, None)
    with pytest.raises(ConfigError, match="not blank"):
        opened(path, " ")
    assert path.read_bytes() == before
    filled(tmp_path / "plain.db", key=None)
    with pytest.raises(ConfigError, match="is not encrypted"):
        opened(tmp_path / "plain.db")
    with pytest.raises(ConfigError, match="goes with a file"):
        ThreeLevelMemory("postgresql://nobody@127.0.0.1:1/nothing", key=KEY)


def test_copies_are_encrypted_and_come_back_with_the_key(tmp_path: Path) -> None:
    path, copy, away = tmp_path / "memory.db", tmp_path / "copy.db", tmp_path / "elsewhere.db"
    words = filled(path)
    with opened(path, encode=hashed()) as memory:
        memory.backup(copy)
        assert words_in(tmp_path, words) == []
        memory.forget("first")
        restore(copy, path, overwrite=True, key=KEY)
        assert "first" in [one.message.id for one in memory.search("vladivostok")]
        with pytest.raises(StorageError, match=r"is the memory itself|is a database"):
            memory.export_jsonl(path, overwrite=True)
    restore(copy, away, key=KEY)
    with opened(away) as memory:
        assert memory.search("vladivostok")
        assert memory.check().is_whole
    with pytest.raises(ConfigError, match="does not open"):
        restore(copy, tmp_path / "never.db", key=OTHER)
    assert not (tmp_path / "never.db").exists()


def test_a_file_goes_from_plain_to_encrypted_to_another_key_and_back(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    words = filled(path, key=None)
    path.chmod(0o644)
    with opened(path, None) as memory:
        wanted = [one.content for one in memory.messages()], [one.value for one in memory.facts()]
        with pytest.raises(StorageError, match="is open, here"):
            rekey(path, new_key=KEY)
    program = (
        "import sys; from interconnected_ai.memory import ThreeLevelMemory\n"
        "with ThreeLevelMemory(sys.argv[1], background=False) as memory:\n"
        "    memory.add('user', 'x', id='x'); print('ready', flush=True); sys.stdin.read(); memory.forget('x')\n"
    )
    other = python(program, str(path), stdin=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    with pytest.raises(StorageError, match="or in another process"):
        rekey(path, new_key=KEY)
    assert other.communicate()[1] == ""
    for key, new_key in ((None, KEY), (KEY, OTHER), (OTHER, OTHER), (OTHER, None)):
        assert rekey(path, key=key, new_key=new_key) == path.stat().st_size
        assert words_in(tmp_path, words) == ([] if new_key else words)
        assert [one.name for one in tmp_path.iterdir()] == ["memory.db"]
        with opened(path, new_key, encode=hashed()) as memory:
            assert ([one.content for one in memory.messages()], [one.value for one in memory.facts()]) == wanted
            assert "first" in [one.message.id for one in memory.search("vladivostok")]
            assert memory.check().is_whole
            memory.add("user", "one more", id="more")
            memory.forget("more")
    with pytest.raises(ConfigError, match="is not encrypted"):
        rekey(path, key=KEY, new_key=OTHER)
    filled(tmp_path / "b.db")
    with pytest.raises(ConfigError, match="does not open"):
        rekey(tmp_path / "b.db", key=OTHER, new_key=None)


def test_a_damaged_page_of_an_encrypted_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    filled(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with opened(path) as memory:
        assert memory.check().damage


def test_many_threads_and_two_processes_use_one_encrypted_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    writer = (
        "import sys; from interconnected_ai.memory import ThreeLevelMemory\n"
        "with ThreeLevelMemory(sys.argv[1], key=sys.argv[2], background=False) as memory:\n"
        "    for number in range(20): memory.add('user', f'alpha {number}', id=f'{sys.argv[3]}-{number}')\n"
    )
    processes = [python(writer, str(path), KEY, str(number)) for number in range(2)]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    with opened(path) as memory:
        threads = [threading.Thread(target=lambda: [memory.search("alpha") for _ in range(5)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        memory.add("user", "beta")
        for thread in threads:
            thread.join()
        assert memory.stats().num_messages == 41
        assert memory.check().is_whole


def test_the_command_line_takes_keys_from_the_environment_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    filled(Path("memory.db"), key=None)
    monkeypatch.setenv("IAI_MEMORY", "memory.db")
    Path("key").write_text(KEY + "\n", encoding="utf-8")
    assert iai(["memory", "rekey"]) == 2
    monkeypatch.setenv("IAI_MEMORY_NEW_KEY_FILE", "key")
    assert iai(["memory", "rekey"]) == 0
    monkeypatch.delenv("IAI_MEMORY_NEW_KEY_FILE")
    assert iai(["memory", "search", "vladivostok"]) == 2
    assert "IAI_MEMORY_KEY" in capsys.readouterr().err
    monkeypatch.setenv("IAI_MEMORY_KEY", KEY)
    assert iai(["memory", "search", "vladivostok"]) == 0
    monkeypatch.setenv("IAI_MEMORY_KEY_FILE", "key")
    assert iai(["memory", "check"]) == 2
    monkeypatch.delenv("IAI_MEMORY_KEY")
    assert iai(["memory", "check"]) == 0
    assert iai(["memory", "backup", "copy.db"]) == 0
    assert iai(["memory", "restore", "copy.db", "--overwrite"]) == 0
    assert iai(["memory", "rekey", "--plain"]) == 0
    assert iai(["memory", "check"]) == 2
    monkeypatch.delenv("IAI_MEMORY_KEY_FILE")
    assert iai(["memory", "check"]) == 0
    assert KEY not in "".join(capsys.readouterr())
