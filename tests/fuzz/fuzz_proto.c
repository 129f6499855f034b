/*
 * Lines of the control protocol and their parameters, as anybody with access to the socket can send
 * them; what was understood is written again and must be understood the same.
 */
#include <stdint.h>

#include "base/obj.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF b = BUF_INIT(PROTO_RESPONSE_MAX);
	const struct method_def *m = NULL;
	struct proto_msg msg;
	struct proto_msg again;
	struct err err = ERR_INIT;

	if (proto_parse(str_from((const char *)data, size), &msg, &err) < 0) {
		ASSERT(err.code != 0 && err.msg[0] != '\0' && msg.root == NULL);
		ASSERT(proto_put_error(&b, msg.id, &err));
		return 0;
	}
	if (msg.method != NULL && method_get(msg.method, &m, &err) == 0 &&
	    method_check(m, msg.params, &err) < 0)
		ASSERT(err.code != 0 && err.msg[0] != '\0');
	if (msg.method != NULL && msg.has_id) {
		ASSERT(proto_put_request(&b, msg.id, msg.method, msg.params));
		ASSERT(proto_parse(buf_str(&b), &again, &err) == 0);
		ASSERT(again.id == msg.id && strcmp(again.method, msg.method) == 0);
		proto_msg_done(&again);
	}
	proto_msg_done(&msg);
	return 0;
}
