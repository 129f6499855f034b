/* Lines of a suppression file: what is taken is written out as it is read again. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "policy/suppress_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct suppress_csv_row *row)
{
	struct buf out = BUF_INIT(65536);
	struct suppress_csv c = SUPPRESS_CSV_INIT;
	struct suppress_csv_row same;

	(void)suppress_csv_line(&c, STR("address,stream,reason"), &same, NULL);
	(void)suppress_csv_put(&out, str_of(row->address));
	(void)buf_putc(&out, ',');
	(void)suppress_csv_put(&out, str_of(row->scope));
	(void)buf_putc(&out, ',');
	(void)suppress_csv_put(&out, str_of(row->reason));
	if (suppress_csv_line(&c, buf_str(&out), &same, NULL) != 1 ||
	    strcmp(row->address, same.address) != 0 || strcmp(row->scope, same.scope) != 0)
		abort();
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct suppress_csv c = SUPPRESS_CSV_INIT;
	struct suppress_csv_row row;
	struct str rest = str_from((const char *)data, size);

	while (rest.n > 0)
		if (suppress_csv_line(&c, str_cut(&rest, '\n'), &row, NULL) > 0)
			again(&row);
	return 0;
}
