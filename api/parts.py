"""What handlers ask for by the name of a parameter; `create_app` makes each once and hands it in."""

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from api.admins import Access
from api.api_tokens import ApiTokens
from api.binder import Binder
from api.door import Door
from api.followers import Followers
from api.in_force import DesiredInForce
from api.intake import Intake
from api.log_feed import LogFeed
from api.outlook import Outlook
from api.pages.free import FreeCount
from api.reception import Reception
from api.signal import Signal
from api.statuses import Statuses
from api.waiters import Waiters
from schemas.settings import Settings
from store.db import Db
from store.listen import Listener
from store.secret import Cipher

TheAccess = NamedDependency[SkipValidation[Access]]
AnyDb = NamedDependency[SkipValidation[Db]]
TheApiTokens = NamedDependency[SkipValidation[ApiTokens]]
TheBinder = NamedDependency[SkipValidation[Binder]]
TheCipher = NamedDependency[SkipValidation[Cipher]]
TheDoor = NamedDependency[SkipValidation[Door]]
TheDesired = NamedDependency[SkipValidation[DesiredInForce]]
TheFeed = NamedDependency[SkipValidation[Signal]]
TheFree = NamedDependency[SkipValidation[FreeCount]]
TheIntake = NamedDependency[SkipValidation[Intake]]
TheFollowers = NamedDependency[SkipValidation[Followers]]
TheListener = NamedDependency[SkipValidation[Listener]]
TheLogFeed = NamedDependency[SkipValidation[LogFeed]]
TheOutlook = NamedDependency[SkipValidation[Outlook]]
TheReception = NamedDependency[SkipValidation[Reception]]
TheSettings = NamedDependency[SkipValidation[Settings]]
TheStatuses = NamedDependency[SkipValidation[Statuses]]
TheWaiters = NamedDependency[SkipValidation[Waiters]]
