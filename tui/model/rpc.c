/* rpc - reading fields of rows. Reals are taken where integers are meant: rates have fractions. */
#include "model/rpc.h"

const char *js(const json_t *row, const char *name)
{
	const char *s = json_string_value(json_object_get(row, name));

	return s != NULL ? s : "";
}

int64_t ji(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)json_number_value(v);
}

bool js_has(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return v != NULL && !json_is_null(v);
}
