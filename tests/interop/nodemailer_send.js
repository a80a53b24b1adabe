// Send standard input with nodemailer: node nodemailer_send.js OPTIONS, which is JSON for createTransport() with
// an "envelope" besides. The outcome is printed as JSON.
"use strict";
const { readFileSync } = require("node:fs");
const nodemailer = require("nodemailer");

const { envelope, ...options } = JSON.parse(process.argv[2]);
nodemailer.createTransport(options).sendMail({ envelope, raw: readFileSync(0) }, (error, info) => {
    if (error) throw error;
    console.log(JSON.stringify(info));
});
