"""A workflow that asks people and waits for their answers, for a second or for weeks.

    python examples/wait_for_user_input.py

No model and no key are needed. Stop it at a question and start it again: it asks the same question, and what it did
before is not done again.
"""

from __future__ import annotations

from typing import Any

from terminal import ask

from clew import Command, Database, Workflow, entrypoint, interrupt, task

TABLES = {"by the window": 2, "in the corner": 4, "in the garden": 8}  # and how many they seat
MOST_GUESTS = max(TABLES.values())


def build(database: Database) -> Workflow[str, str]:
    """Make the workflow. Its input is the day, its value what became of the booking."""

    @task
    def look_for_tables(day: str) -> dict[str, int]:
        print(f"(looking for free tables on {day})")  # printed once, however often the workflow is resumed
        return TABLES

    @task
    def confirm(table: str, guests: int) -> bool:
        """Ask inside of a task."""
        answer = interrupt(f"Book the table {table} for {guests}? (yes or no)")
        return str(answer).lower() in ("y", "yes")

    @entrypoint(database=database)
    def book(day: str) -> str:
        tables = look_for_tables(day).result()
        guests = ask_how_many()
        fitting = [table for table, seats in tables.items() if seats >= guests]
        for table in fitting:
            if confirm(table, guests).result():
                return f"Booked: the table {table} for {guests}, on {day}."
        return "Then nothing is booked."

    return book


def ask_how_many() -> int:
    """Ask until the answer makes sense."""
    question = "How many guests?"
    while True:
        answer = str(interrupt(question))
        if answer.isdecimal() and 1 <= int(answer) <= MOST_GUESTS:
            return int(answer)
        question = f"{answer!r} is not a number from 1 to {MOST_GUESTS}. How many guests?"


def main() -> None:
    """Book a table, question by question."""
    on_thread = {"configurable": {"thread_id": "booking"}}
    with Database("sqlite:///wait_for_user_input.db") as database:
        book = build(database)
        is_under_way = bool(book.get_state(on_thread).next)
        result: Any = book.invoke(None if is_under_way else ask("For which day? "), on_thread)
        while isinstance(result, dict):  # the value of `book` is a text; this is a question
            [question] = result["__interrupt__"]
            result = book.invoke(Command(resume=ask(f"{question.value} ")), on_thread)
        print(result)


if __name__ == "__main__":
    main()
