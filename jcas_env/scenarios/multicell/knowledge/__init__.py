"""From pilots to what an allocator may know: sounding, estimates of links, channel state information."""
