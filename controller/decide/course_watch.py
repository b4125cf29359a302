"""Steps that look after courses: say when seats are missing, and have a report made when one is over. Pure."""

from datetime import timedelta

from schemas.decision import ReportCourse

from controller.decide.names import counted
from controller.decide.work import Work

REPORTED_FOR = timedelta(days=1)
"""A course that was over for longer when it was first seen is not reported."""


def watch_courses(work: Work) -> Work:
    """Says when seats are missing though an alarm of theirs has come."""
    short = []
    for planned in work.view.courses:
        late = planned.late_by(work.view.world.now)
        missing = planned.lacks(work.view.free)
        if late is not None and missing:
            when = f"less than {late.total_seconds() / 60:.0f} minutes before it begins" if late else "and it has begun"
            short.append(
                f"the course {planned.name} lacks {missing} of {counted(planned.course.seats, 'seat')}, {when}"
            )
    return work.find("CourseShort", "SeatsMissing", "; ".join(short)) if short else work


def report_courses(work: Work) -> Work:
    """Once, after its grace: how the course went."""
    now = work.view.world.now
    for planned in work.view.courses:
        due = planned.over_at <= now < planned.over_at + REPORTED_FOR
        if due and not planned.attendance.reported:
            course = planned.course
            report = ReportCourse(
                pool=work.view.name,
                course=planned.name,
                seats=course.seats,
                from_at=course.from_at,
                to_at=course.to_at,
                reason="the course is over",
            )
            work = work.act(work.view.region, [report])
    return work
