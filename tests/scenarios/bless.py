"""`make bless`: records what is decided now as the expected text of every scenario; a reviewer reads the difference."""

from tests.scenarios.situation import read_scenarios


def main() -> None:
    for scenario in read_scenarios():
        text = scenario.render()
        if not scenario.expected.exists() or scenario.expected.read_text() != text:
            scenario.expected.write_text(text)
            print(f"wrote {scenario.expected.name}")


if __name__ == "__main__":
    main()
