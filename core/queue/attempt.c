#include "queue/attempt.h"

#include "base/obj.h"

const char *outcome_name(enum outcome o)
{
	switch (o) {
	case OUTCOME_NONE:
		return "";
	case OUTCOME_RECEIVED:
		return "received";
	case OUTCOME_DEFERRED:
		return "deferred";
	case OUTCOME_DELIVERED:
		return "delivered";
	case OUTCOME_FAILED:
		return "failed";
	case OUTCOME_EXPIRED:
		return "expired";
	case OUTCOME_DELETED:
		return "deleted";
	case OUTCOME_SUPPRESSED:
		return "suppressed";
	case OUTCOME_UNSUPPRESSED:
		return "unsuppressed";
	case OUTCOME_BOUNCED:
		return "bounced";
	case OUTCOME_COMPLAINED:
		return "complained";
	case OUTCOME_REFUSED:
		return "refused";
	case OUTCOME__COUNT:
		break;
	}
	BUG("outcome %d", (int)o);
}
