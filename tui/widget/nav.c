#include "widget/nav.h"

#include <stddef.h>

#include "base/mem.h"
#include "cell/key.h"

enum nav nav_of_key(uint32_t key)
{
	static const struct {
		uint32_t key;
		enum nav nav;
	} keys[] = {
		{ K_UP, NAV_UP },	    { K_DOWN, NAV_DOWN },
		{ K_LEFT, NAV_LEFT },	    { K_RIGHT, NAV_RIGHT },
		{ K_PAGE_UP, NAV_PAGE_UP }, { K_PAGE_DOWN, NAV_PAGE_DOWN },
		{ K_HOME, NAV_FIRST },	    { K_END, NAV_LAST },
		{ K_TAB, NAV_NEXT },	    { K_TAB | K_SHIFT, NAV_PREV },
		{ K_ENTER, NAV_ENTER },	    { K_ESC, NAV_BACK },
		{ K_CTRL | 'c', NAV_BACK },
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].key == key)
			return keys[i].nav;
	return NAV_NONE;
}
