/* audit - the audit log: a list as others, or its verification. */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

static int verify(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	const struct method_def *m = &method_defs[M_AUDIT_VERIFY];
	json_t *result = NULL;
	bool intact;
	int rc = 0;

	if (json_object_size(a->params) > 0)
		return err_param(err, ERR_INVALID, "verify",
				 "the log is verified as a whole; --verify stands alone");
	rc = talk_call(c, m->name, json_object(), &result, err);
	if (rc < 0)
		return rc;
	intact = json_is_true(json_object_get(result, "intact"));
	if (c->json) {
		cli_print_json(c, result);
	} else {
		columns_put_fields(&c->out, &b, m->entity, NULL, result);
		cli_print(c, &b);
	}
	json_decref(result);
	return intact ? 0 : 1;
}

int run_audit(struct cli *c, const struct args *a, struct err *err)
{
	return a->own[OWN_VERIFY] != NULL ? verify(c, a, err) : run_list(c, a, err);
}
