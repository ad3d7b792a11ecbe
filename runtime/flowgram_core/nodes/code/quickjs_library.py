"""The C interface of QuickJS, called with ctypes in the library that the package quickjs-ng brings.

That package's own interface compiles the text of a script for each context anew. The C interface keeps what was compiled.
Declared is what `quickjs_engine` uses, as quickjs.h of quickjs-ng 0.17 has it, on systems of 64 bits.
"""

import ctypes
import importlib

TYPE_CHECKING = False  # the module `typing` takes longer to import than all that a worker process needs
if TYPE_CHECKING:
    from typing import Any

TAG_OBJECT = -1
TAG_INTEGER = 0
TAG_UNDEFINED = 3
TAG_EXCEPTION = 6

EVAL_GLOBAL = 0
EVAL_INDIRECT = 3
"""As `eval` does under another name: in the global scope, with declarations of its own."""
EVAL_COMPILE_ONLY = 1 << 5
PROMISE_PENDING = 0
BYTECODE = 1
"""For `JS_WriteObject` and `JS_ReadObject`."""


class Value(ctypes.Structure):
    """JSValue: 64 bits, which are a number or an address, and the tag that says which."""

    _fields_ = (("bits", ctypes.c_uint64), ("tag", ctypes.c_int64))


def integer(number: int) -> Value:
    """A small number that is not negative."""
    return Value(number, TAG_INTEGER)


UNDEFINED = Value(0, TAG_UNDEFINED)


class Library:
    """The functions, each under its name there without `JS_`."""

    def __init__(self) -> None:
        # The package `quickjs` around this module starts a thread when it is imported.
        library = ctypes.PyDLL(importlib.import_module("_quickjs").__file__)
        pointer, size, integral, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p
        size_out, pointer_out = ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p)

        def declare(name: str, result: "Any", *arguments: "Any") -> "Any":
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
            return function

        self.NewRuntime = declare("JS_NewRuntime", pointer)
        self.FreeRuntime = declare("JS_FreeRuntime", None, pointer)
        self.SetMemoryLimit = declare("JS_SetMemoryLimit", None, pointer, size)
        self.SetMaxStackSize = declare("JS_SetMaxStackSize", None, pointer, size)
        self.NewContext = declare("JS_NewContext", pointer, pointer)
        self.FreeContext = declare("JS_FreeContext", None, pointer)
        self.Eval = declare("JS_Eval", Value, pointer, text, size, text, integral)
        self.EvalFunction = declare("JS_EvalFunction", Value, pointer, Value)
        self.WriteObject = declare("JS_WriteObject", pointer, pointer, size_out, Value, integral)
        self.ReadObject = declare("JS_ReadObject", Value, pointer, text, size, integral)
        self.Call = declare("JS_Call", Value, pointer, Value, Value, integral, ctypes.POINTER(Value))
        self.ExecutePendingJob = declare("JS_ExecutePendingJob", integral, pointer, pointer_out)
        self.PromiseState = declare("JS_PromiseState", integral, pointer, Value)
        self.GetException = declare("JS_GetException", Value, pointer)
        self.NewStringLen = declare("JS_NewStringLen", Value, pointer, text, size)
        self.ToCStringLen2 = declare("JS_ToCStringLen2", pointer, pointer, size_out, Value, ctypes.c_bool)
        self.FreeCString = declare("JS_FreeCString", None, pointer, pointer)
        self.FreeValue = declare("JS_FreeValue", None, pointer, Value)
        self.free = declare("js_free", None, pointer, pointer)
