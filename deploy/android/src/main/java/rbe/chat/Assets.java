// Assets.java - a model out of the app's package into a file, which can be mapped.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

public final class Assets {
    /** On Android: context.getAssets()::open. */
    public interface Source {
        InputStream open(String name) throws IOException;
    }

    private Assets() {
    }

    /**
     * The file folder/NAME, NAME the last part of `name`: copied from the source unless it is
     * there and right.  It gets its name when all of it has come and has this sha256 (64 digits).
     */
    public static File copy(Source from, String name, File folder, String sha256)
            throws IOException {
        final String base = name.substring(name.lastIndexOf('/') + 1);
        if (base.isEmpty() || base.equals(".") || base.equals(".."))
            throw new IOException("'" + name + "' names no file");
        final File target = new File(folder, base);
        final File part = new File(folder, base + ".part");

        if (target.isFile()) {
            try (InputStream in = new FileInputStream(target)) {
                if (sha256.equalsIgnoreCase(pour(in, null)))
                    return target;
            }
        }
        if (!folder.isDirectory() && !folder.mkdirs())
            throw new IOException(folder + ": cannot be made");
        try {
            final String sum;
            try (InputStream in = from.open(name); FileOutputStream out = new FileOutputStream(part)) {
                sum = pour(in, out);
                out.getFD().sync();
            }
            if (!sha256.equalsIgnoreCase(sum))
                throw new IOException(name + ": its sha256 is " + sum + ", not " + sha256);
            if (!part.renameTo(target))
                throw new IOException(target + ": cannot be replaced");
            return target;
        } finally {
            part.delete();
        }
    }

    /** Into out, which may be null; the sha256 of all. */
    private static String pour(InputStream in, FileOutputStream out) throws IOException {
        final byte[] buffer = new byte[1 << 16];
        final MessageDigest digest;
        final StringBuilder text = new StringBuilder();

        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IOException("no SHA-256 on this system", e);
        }
        for (int n; (n = in.read(buffer)) > 0;) {
            digest.update(buffer, 0, n);
            if (out != null)
                out.write(buffer, 0, n);
        }
        for (final byte b : digest.digest())
            text.append(String.format("%02x", b & 0xff));
        return text.toString();
    }
}
