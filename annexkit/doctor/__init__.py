"""What keeps an annex from being baked or launched: judged here, asked in flows."""
