#include "theme/colour.h"

#include <stdint.h>

#define LEAST_CONTRAST 3.0 /* as WCAG asks of large text */

/* xterm's values of the first sixteen, to measure distances. */
static const uint32_t palette16[16] = {
	0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
	0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
};

static int distance(uint32_t a, uint32_t b)
{
	int r = (int)(a >> 16 & 0xff) - (int)(b >> 16 & 0xff);
	int g = (int)(a >> 8 & 0xff) - (int)(b >> 8 & 0xff);
	int bl = (int)(a & 0xff) - (int)(b & 0xff);

	return 3 * r * r + 4 * g * g + 2 * bl * bl; /* the eye weighs green most */
}

static uint32_t rgb_of_256(int index)
{
	static const uint8_t step[6] = { 0, 95, 135, 175, 215, 255 };

	if (index < 16)
		return palette16[index];
	if (index >= 232) {
		uint32_t grey = (uint32_t)(8 + (index - 232) * 10);

		return grey << 16 | grey << 8 | grey;
	}
	index -= 16;
	return (uint32_t)step[index / 36] << 16 | (uint32_t)step[index / 6 % 6] << 8 |
	       step[index % 6];
}

/* Nearest of the palette's entries first..end-1; the first 16 of 256 are the user's own, so
 * skipped. */
static int nearest(uint32_t rgb, int first, int end)
{
	int best = first;

	for (int i = first + 1; i < end; i++)
		if (distance(rgb, rgb_of_256(i)) < distance(rgb, rgb_of_256(best)))
			best = i;
	return best;
}

int colour_down(int colour, enum depth depth)
{
	if (colour < 0)
		return colour;
	/* Direct-colour terminals take indexes below 8 only. */
	if (depth == DEPTH_TRUE)
		return colour & COLOUR_RGB || colour < 8 ? colour
							 : COLOUR_RGB | (int)rgb_of_256(colour);
	if (depth == DEPTH_MONO)
		return COLOUR_DEFAULT;
	if (depth == DEPTH_256)
		return colour & COLOUR_RGB ? nearest((uint32_t)colour & 0xffffff, 16, 256) : colour;
	if (colour & COLOUR_RGB)
		colour = nearest((uint32_t)colour & 0xffffff, 0, 16);
	else if (colour >= 16)
		colour = nearest(rgb_of_256(colour), 0, 16);
	return depth == DEPTH_8 ? colour & 7 : colour;
}

/* Relative luminance, roughly: 0 is black, 1 white. */
static double luminance(int colour)
{
	uint32_t rgb = colour & COLOUR_RGB ? (uint32_t)colour & 0xffffff : rgb_of_256(colour);
	double r = (double)(rgb >> 16 & 0xff) / 255;
	double g = (double)(rgb >> 8 & 0xff) / 255;
	double b = (double)(rgb & 0xff) / 255;

	return 0.2126 * r * r + 0.7152 * g * g + 0.0722 * b * b;
}

bool colour_readable(int fg, int bg)
{
	double a, b;

	if (fg < 0 || bg < 0)
		return true;
	a = luminance(fg) + 0.05;
	b = luminance(bg) + 0.05;
	return a / b >= LEAST_CONTRAST || b / a >= LEAST_CONTRAST;
}
