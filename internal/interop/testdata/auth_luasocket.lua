-- Authenticates with LuaSocket and sends a multipart that it makes: auth_luasocket.lua ADDR USER PASSWORD FROM TO
local smtp = require "socket.smtp"
local ltn12 = require "ltn12"
local mime = require "mime"

local host, port = arg[1]:match("^(.*):(%d+)$")
assert(smtp.send {
	server = host, port = tonumber(port), user = arg[2], password = arg[3],
	from = "<" .. arg[4] .. ">", rcpt = "<" .. arg[5] .. ">",
	source = smtp.message {
		headers = {from = arg[4], to = arg[5], subject = "multipart"},
		body = {
			preamble = "a preamble",
			{body = mime.eol(0, "the text\n.with a dot\n")},
			{
				headers = {
					["content-type"] = 'application/octet-stream; name="data.bin"',
					["content-disposition"] = 'attachment; filename="data.bin"',
					["content-transfer-encoding"] = "BASE64",
				},
				body = ltn12.source.chain(ltn12.source.string(("\0\1\2\255"):rep(100)), ltn12.filter.chain(mime.encode("base64"), mime.wrap())),
			},
			epilogue = "an epilogue",
		},
	},
})
