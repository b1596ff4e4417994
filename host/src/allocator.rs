//! The allocator of the `jackfield` process, workers included.
//!
//! Owns: the choice of mimalloc's entries. Must never: know what is allocated.
//!
//! A command makes some tens of small allocations, many of which another thread frees: the system's allocator takes a
//! sixth of the host's time for them. mimalloc is built to stand in for the C library's `malloc` as well (its feature
//! `override`), so a plugin without an allocator of its own shares this one instead of keeping a second set of pages.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_void,
};

use libmimalloc_sys::{mi_malloc, mi_realloc};
use mimalloc::MiMalloc;

/// What mimalloc aligns everything to, unasked.
const WORD: usize = align_of::<usize>();

/// [`MiMalloc`], but for what needs no more than the alignment of a word, which is nearly everything: asked for without
/// one, it costs a third of the instructions.
pub(crate) struct Allocator;

// SAFETY: each call is handed on to mimalloc with what it was made with. Memory that it gave with or without an
// alignment asked for is all the same to `mi_free` and `mi_realloc`.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= WORD {
            // SAFETY: any size may be asked for.
            unsafe { mi_malloc(layout.size()).cast() }
        } else {
            // SAFETY: as the caller's.
            unsafe { MiMalloc.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= WORD {
            // SAFETY: the memory is mimalloc's, and any size may be asked for.
            unsafe { mi_realloc(memory.cast::<c_void>(), size).cast() }
        } else {
            // SAFETY: as the caller's.
            unsafe { MiMalloc.realloc(memory, layout, size) }
        }
    }
}
